//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	engine "github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
)

// inProduction returns a kubeconfig for a service account of a namespace that
// reaches production under production's own context.
func inProduction(t *testing.T, ns, account string) string {
	t.Helper()
	c, err := clientcmd.LoadFromFile(config)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(kubectl(t, productionName, "create", "token", "-n", ns, account))
	c.AuthInfos[c.Contexts["kind-"+productionName].AuthInfo] = &api.AuthInfo{Token: token}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// documents splits what `rbac` prints.
func documents(t *testing.T, text string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, part := range strings.Split(text, "\n---\n") {
		var doc map[string]any
		if err := yaml.Unmarshal([]byte(part), &doc); err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		out = append(out, doc)
	}
	return out
}

// without returns the documents but for a verb on a resource, and how many
// rules had it.
func without(t *testing.T, text, resource, verb string) (string, int) {
	t.Helper()
	var parts []string
	n := 0
	for _, doc := range documents(t, text) {
		rules, _ := doc["rules"].([]any)
		var kept []any
		for _, item := range rules {
			rule := item.(map[string]any)
			resources, verbs := rule["resources"].([]any), rule["verbs"].([]any)
			if slices.Contains(resources, any(resource)) && slices.Contains(verbs, any(verb)) {
				n++
				// The other resources of the rule keep the verb.
				others := slices.DeleteFunc(slices.Clone(resources), func(r any) bool { return r == resource })
				if len(others) > 0 {
					other := maps.Clone(rule)
					other["resources"] = others
					kept = append(kept, other)
				}
				rule["resources"] = []any{resource}
				rule["verbs"] = slices.DeleteFunc(slices.Clone(verbs), func(v any) bool { return v == verb })
				if len(rule["verbs"].([]any)) == 0 {
					continue
				}
			}
			kept = append(kept, rule)
		}
		if rules != nil {
			doc["rules"] = kept
		}
		raw, err := yaml.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(raw))
	}
	return strings.Join(parts, "---\n"), n
}

func TestPromoteWithJustTheRoleThatIsPrinted(t *testing.T) {
	const ns = "preflight-role"
	files := job(ns, 1, "")
	files["base/kustomization.yaml"] = "resources: [job.yaml, service.yaml, config.yaml, rbac.yaml, class.yaml]\n"
	files["base/config.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: \"1\"}\n"
	files["base/class.yaml"] = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: preflight-role}\nvalue: 7\n"
	files["base/rbac.yaml"] = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [endpoints], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: default}]
`
	dir := bundle(t, productionName, ns, files)
	kubectl(t, productionName, "create", "serviceaccount", "-n", ns, "deployer")
	kubeconfig := inProduction(t, ns, "deployer")
	as := func(args ...string) result {
		return ai(t, append(args, dir, "--to", "production", "--kubeconfig", kubeconfig)...)
	}

	refused := as("promote", "--unproven", "--yes")
	if refused.code != 4 || !strings.Contains(refused.stderr, "PRO-008") || !strings.Contains(refused.stderr, "kind: RoleBinding") || !strings.Contains(refused.stderr, "kubectl ai rbac --to production") {
		t.Fatalf("exit %d, want 4 with the Role: %s", refused.code, refused.stderr)
	}
	printed := as("rbac")
	if printed.code != 0 || printed.stderr != "" {
		t.Fatalf("rbac: exit %d: %s", printed.code, printed.stderr)
	}
	role := printed.stdout
	// The error holds the same Role, indented.
	if !strings.Contains(strings.ReplaceAll(refused.stderr, "\n         ", "\n"), strings.TrimSpace(role)) {
		t.Errorf("the error's Role is another than\n%s\nit says\n%s", role, refused.stderr)
	}
	for _, doc := range documents(t, role) {
		cluster := strings.HasPrefix(doc["kind"].(string), "Cluster")
		name := doc["metadata"].(map[string]any)["name"].(string)
		if cluster {
			t.Cleanup(func() {
				_, _ = tryKubectl(context.Background(), productionName, "", "delete", strings.ToLower(doc["kind"].(string)), name)
			})
		}
		rules, _ := doc["rules"].([]any)
		for _, item := range rules {
			rule := item.(map[string]any)
			if slices.Contains(rule["verbs"].([]any), any("*")) || slices.Contains(rule["resources"].([]any), any("*")) {
				t.Errorf("that is not the least: %v", rule)
			}
			if cluster && fmt.Sprint(rule["resources"]) != "[priorityclasses]" {
				t.Errorf("cluster-wide without need: %v", rule)
			}
		}
	}
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "priorityclass", "preflight-role")
	})
	apply(t, productionName, role)

	passes := func(args ...string) result {
		t.Helper()
		var r result
		eventually(t, 20*time.Second, func() error {
			// The authorizer learns of a Role by a watch.
			if r = as(args...); r.code == 4 {
				return fmt.Errorf("exit 4: %s", r.stderr)
			}
			return nil
		})
		if r.code != 0 {
			t.Fatalf("%v: exit %d: %s", args, r.code, r.stderr)
		}
		return r
	}
	passes("promote", "--unproven", "--yes")
	t.Run("drift", func(t *testing.T) {
		kubectl(t, productionName, "patch", "configmap", "settings", "-n", ns, "--type=json", "-p", `[{"op": "remove", "path": "/data/a"}]`)
		found := findings(t, passes("promote", "--unproven", "--dry-run", "-o", "json"))
		if !slices.ContainsFunc(found, func(f preflight.Finding) bool {
			return f.Check == preflight.CheckDrift && f.Object.Short() == "ConfigMap/settings" && f.Level == preflight.Warning
		}) {
			t.Errorf("findings = %+v", found)
		}
	})
	t.Run("prune", func(t *testing.T) {
		save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [job.yaml, service.yaml, rbac.yaml, class.yaml]\n")
		passes("promote", "--unproven", "--yes")
		if out, err := tryKubectl(t.Context(), productionName, "", "get", "configmap", "settings", "-n", ns); err == nil {
			t.Errorf("it is still there: %s", out)
		}
	})
	t.Run("rollback", func(t *testing.T) {
		passes("rollback", "--to-release", "1", "--yes")
		kubectl(t, productionName, "get", "configmap", "settings", "-n", ns)
	})
	t.Run("replace", func(t *testing.T) {
		for i, how := range []string{"suspend", "kill"} {
			save(t, filepath.Join(dir, "src/generation.txt"), fmt.Sprintf("generation %d\n", i+7))
			passes("promote", "--unproven", "--yes", "--replace", how)
		}
		if left := kubectl(t, productionName, "get", "jobs", "-n", ns, "-o", "name"); strings.Count(left, "job.batch/") != 1 {
			t.Errorf("left are %s", left)
		}
	})
	t.Run("without any one verb preflight refuses", func(t *testing.T) {
		for _, c := range [][2]string{
			{"jobs", "create"},
			{"jobs", "watch"},
			{"services", "patch"},
			{"pods", "list"},
			{"configmaps", "update"},
			{"secrets", "delete"},
			{"leases", "create"},
			{"endpoints", "get"},
			{"clusterroles", "bind"},
			{"priorityclasses", "patch"},
		} {
			resource, verb := c[0], c[1]
			less, n := without(t, role, resource, verb)
			if n == 0 {
				t.Errorf("%s %s is not in the Role", verb, resource)
				continue
			}
			apply(t, productionName, less)
			eventually(t, 20*time.Second, func() error {
				r := as("promote", "--unproven", "--dry-run")
				if r.code != 4 || !strings.Contains(r.stderr, "PRO-008") {
					return fmt.Errorf("without %s %s: exit %d: %s", verb, resource, r.code, r.stderr)
				}
				return nil
			})
		}
		apply(t, productionName, role)
		passes("promote", "--unproven", "--dry-run")
	})
}

// findings are the findings of `promote --dry-run -o json`.
func findings(t *testing.T, r result) []preflight.Finding {
	t.Helper()
	var plan struct{ Findings []preflight.Finding }
	if err := json.Unmarshal([]byte(r.stdout), &plan); err != nil {
		t.Fatalf("%v: %s\n%s", err, r.stdout, r.stderr)
	}
	return plan.Findings
}

func TestPromoteReportsAllReasonsAtOnceAndWritesNothing(t *testing.T) {
	const ns = "preflight-all"
	files := job(ns, 2, "        envFrom: [{secretRef: {name: credentials}}]\n")
	files["base/job.yaml"] = strings.NewReplacer(
		"memory: 128Mi}", "memory: 128Mi, nvidia.com/gpu: 1}",
		"metadata: {name: "+ns+"}", "metadata: {name: "+ns+", labels: {kueue.x-k8s.io/queue-name: research}}",
		"      subdomain:", "      priorityClassName: preflight-none\n      runtimeClassName: preflight-none\n      subdomain:",
	).Replace(files["base/job.yaml"])
	files["base/kustomization.yaml"] = "resources: [job.yaml, service.yaml, claim.yaml, web.yaml, spark.yaml, nightly.yaml, settings.yaml]\n"
	files["base/claim.yaml"] = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {storageClassName: preflight-none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	files["base/web.yaml"] = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: ` + pythonImage + `, securityContext: {privileged: true}}]}
`
	files["base/spark.yaml"] = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nmetadata: {name: features}\nspec: {type: Python}\n"
	files["base/settings.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: \"1\"}\n"
	files["base/nightly.yaml"] = "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: " + pythonImage + "}]}}}}}\n"
	dir := bundle(t, productionName, ns, files)
	kubectl(t, productionName, "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted")
	apply(t, productionName, `apiVersion: v1
kind: ResourceQuota
metadata: {name: team, namespace: `+ns+`}
spec: {hard: {requests.nvidia.com/gpu: "1"}}
`)
	kubectl(t, productionName, "create", "configmap", "-n", ns, "settings")
	kubectl(t, productionName, "annotate", "configmap", "-n", ns, "settings", "argocd.argoproj.io/tracking-id=team:/ConfigMap:"+ns+"/settings")
	// Somebody who may read what preflight asks for, and lacks one verb.
	kubectl(t, productionName, "create", "serviceaccount", "-n", ns, "deployer")
	kubeconfig := inProduction(t, ns, "deployer")
	role := must(t, "rbac", dir, "--to", "production", "--kubeconfig", kubeconfig).stdout
	less, n := without(t, role, "services", "patch")
	if n != 1 {
		t.Fatalf("services are in %d rules:\n%s", n, role)
	}
	apply(t, productionName, less+"---\n"+fmt.Sprintf(`apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules:
- {apiGroups: [""], resources: [nodes, pods, namespaces, resourcequotas, limitranges], verbs: [get, list]}
- {apiGroups: [storage.k8s.io, scheduling.k8s.io, node.k8s.io], resources: [storageclasses, priorityclasses, runtimeclasses], verbs: [get, list]}
- {apiGroups: [admissionregistration.k8s.io], resources: ["*"], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{kind: ServiceAccount, name: deployer, namespace: %[1]s}]
`, ns))
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "clusterrole,clusterrolebinding", ns)
	})

	want := map[string]string{
		"kinds":      "Spark operator",
		"access":     "patch services in namespace " + ns,
		"quota":      "1 short",
		"security":   "restricted",
		"queue":      "research",
		"owners":     "Argo CD manages it, Application team",
		"references": "StorageClass preflight-none",
	}
	var r result
	eventually(t, 20*time.Second, func() error {
		r = ai(t, "promote", dir, "--to", "production", "--unproven", "--kubeconfig", kubeconfig, "--dry-run", "-o", "json")
		if strings.Contains(r.stderr, "may not") || strings.Contains(r.stderr, "get, list nodes") {
			return fmt.Errorf("the Role is not there yet: %s", r.stderr)
		}
		for check, words := range want {
			if !strings.Contains(r.stderr, check+": ") || !strings.Contains(r.stderr, words) {
				return fmt.Errorf("%s: %s is not said: %s", check, words, r.stderr)
			}
		}
		return nil
	})
	if r.code != 3 || !strings.Contains(r.stderr, "PRO-002") {
		t.Errorf("exit %d, want 3: %s", r.code, r.stderr)
	}
	for _, words := range []string{"PriorityClass preflight-none does not exist", "RuntimeClass preflight-none does not exist", "Secret/credentials is neither in the bundle nor in the cluster", "https://github.com/kubeflow/spark-operator", "CronJob is served as v1", "Deployment/web"} {
		if !strings.Contains(r.stderr, words) {
			t.Errorf("%q is not said: %s", words, r.stderr)
		}
	}
	seen := map[string]bool{}
	for _, f := range findings(t, r) {
		if f.Level == preflight.Error {
			seen[f.Check] = true
		}
	}
	for check := range want {
		if !seen[check] {
			t.Errorf("no finding of %s in -o json", check)
		}
	}
	if left := kubectl(t, productionName, "get", "jobs,deployments,services,persistentvolumeclaims,secrets,configmaps,leases", "-n", ns, "-o", "name"); strings.TrimSpace(left) != "configmap/kube-root-ca.crt\nconfigmap/settings" {
		t.Errorf("something was written: %s", left)
	}
}

func TestPreflightAsksTheServerFifteenTimesAtMost(t *testing.T) {
	const ns = "preflight-count"
	namespace(t, productionName, ns)
	rest, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: config}, &clientcmd.ConfigOverrides{CurrentContext: "kind-" + productionName}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	rest.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/api" && r.URL.Path != "/apis" { // discovery is cached by commands
				mu.Lock()
				asked = append(asked, r.Method+" "+r.URL.Path)
				mu.Unlock()
			}
			return next.RoundTrip(r)
		})
	})
	client, err := engine.New(rest)
	if err != nil {
		t.Fatal(err)
	}
	server, err := preflight.AskServer(t.Context(), rest)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, text := range []string{
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`, `{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}`,
		`{apiVersion: v1, kind: Secret, metadata: {name: s}}`, `{apiVersion: v1, kind: Service, metadata: {name: s}}`,
		`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {template: {spec: {containers: [{name: c, image: ` + pythonImage + `, envFrom: [{configMapRef: {name: a}}]}]}}}}`,
		`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: ` + pythonImage + `, resources: {limits: {nvidia.com/gpu: 1}}}]}}}}`,
	} {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
			t.Fatal(err)
		}
		obj.SetNamespace(ns)
		objects = append(objects, obj)
	}
	// A plan has read the namespace before, and says so.
	space := &unstructured.Unstructured{}
	space.SetName(ns)
	read := map[engine.Ref]*unstructured.Unstructured{{Kind: "Namespace", Name: ns}: space}
	check := preflight.Check{Client: client, Server: server, Environment: "production", Project: ns, Objects: objects, Namespace: ns, Read: read, Patience: time.Second}
	report, err := check.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := check.Err(report); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests", len(asked))
	if len(asked) > 15 {
		t.Errorf("%d requests:\n%s", len(asked), strings.Join(asked, "\n"))
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
