//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// counter stands before the API server and remembers what it was asked.
type counter struct {
	kubeconfig string // its context "counted" goes through the counter

	mu    sync.Mutex
	asked []asked
}

type asked struct{ method, path, query string }

func (a asked) String() string { return a.method + " " + a.path + "?" + a.query }

func (a asked) writes() bool {
	return a.method != http.MethodGet && !strings.Contains(a.query, "dryRun=All") &&
		!strings.HasPrefix(a.path, "/apis/authorization.k8s.io/") && !strings.HasPrefix(a.path, "/apis/authentication.k8s.io/")
}

// preflights says whether a request asks if the promotion can work, or waits
// for it, and does not plan, apply or record it.
func (a asked) preflights() bool {
	return strings.Contains(a.query, "watch=true") || slices.ContainsFunc([]string{
		"/version", "/openapi", "/apis/authorization.k8s.io/", "/apis/authentication.k8s.io/", "/api/v1/nodes", "/api/v1/pods",
		"/apis/storage.k8s.io/", "/apis/scheduling.k8s.io/", "/apis/node.k8s.io/", "/apis/admissionregistration.k8s.io/", "/apis/apiextensions.k8s.io/",
		"/apis/kueue.x-k8s.io/",
	}, func(prefix string) bool { return strings.HasPrefix(a.path, prefix) }) ||
		slices.Contains([]string{"resourcequotas", "limitranges", "pods", "replicasets"}, a.path[strings.LastIndexByte(a.path, '/')+1:]) ||
		strings.HasPrefix(a.path, "/api/v1/namespaces") && strings.Count(a.path, "/") <= 4
}

func count(t *testing.T, kubeContext string) *counter {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(server)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked = append(c.asked, asked{r.In.Method, r.In.URL.Path, r.In.URL.RawQuery})
	}}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	save(t, c.kubeconfig, fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: counted, cluster: {server: %q}}], users: [{name: counted}],
 contexts: [{name: counted, context: {cluster: counted, user: counted}}]}`, front.URL))
	return c
}

// promote runs a promotion and returns what was asked for it.
func (c *counter) promote(t *testing.T, dir string, args ...string) (result, []asked) {
	t.Helper()
	c.mu.Lock()
	c.asked = nil
	c.mu.Unlock()
	r := ai(t, append([]string{"--kubeconfig", c.kubeconfig, "promote", dir, "--to", "production", "--yes", "--unproven"}, args...)...)
	c.mu.Lock()
	defer c.mu.Unlock()
	return r, slices.Clone(c.asked)
}

func lines(all []asked, which func(asked) bool) []string {
	var out []string
	for _, a := range all {
		if which(a) {
			out = append(out, a.String())
		}
	}
	return out
}

// many is a bundle of six kinds: so many ConfigMaps, half as many Secrets, and
// a fifth as many accounts, Roles and Services, of which revision changes the
// first of each named kind.
func many(ns string, n int, changed ...string) map[string]string {
	revision := func(kind string, i int) string {
		if i == 0 && slices.Contains(changed, kind) {
			return "2"
		}
		return "1"
	}
	var out bytes.Buffer
	for i := range n {
		fmt.Fprintf(&out, "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: c%d}, data: {revision: %q}}\n", i, revision("ConfigMap", i))
	}
	for i := range n / 2 {
		fmt.Fprintf(&out, "---\n{apiVersion: v1, kind: Secret, metadata: {name: s%d}, stringData: {revision: %q}}\n", i, revision("Secret", i))
	}
	for i := range n / 5 {
		fmt.Fprintf(&out, "---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: a%d}}\n", i)
		fmt.Fprintf(&out, "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r%d}, rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]}\n", i)
		fmt.Fprintf(&out, "---\n{apiVersion: v1, kind: Service, metadata: {name: v%d}, spec: {clusterIP: None, ports: [{port: 80}]}}\n", i)
	}
	return map[string]string{
		"src/train.py": "print('trained')\n",
		"kubectl-ai.yaml": "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: " + ns + "}\ncode: [{path: src, mountPath: /app}]\n" +
			"environments: {production: {context: counted, namespace: " + ns + ", codeFormat: configMap}}\n",
		"overlays/production/kustomization.yaml": "namespace: " + ns + "\nresources: [all.yaml, main.yaml]\n",
		"overlays/production/all.yaml":           out.String(),
		"overlays/production/main.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: main}
spec:
  replicas: 0
  selector: {matchLabels: {app: main}}
  template:
    metadata: {labels: {app: main}}
    spec: {containers: [{name: main, image: ` + pythonImage + `, workingDir: /app, command: [python3, train.py]}]}
`,
	}
}

// versionsByName returns the resource versions of a namespace's objects of the six
// kinds, by kind and name; those that others write are left out.
func versionsByName(t *testing.T, ns string) map[string]string {
	t.Helper()
	out := kubectl(t, productionName, "get", "configmaps,secrets,serviceaccounts,roles,services,deployments", "-n", ns, "-o",
		`jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	found := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if f := strings.Fields(line); len(f) == 2 && f[0] != "ConfigMap/kube-root-ca.crt" && f[0] != "ServiceAccount/default" {
			found[f[0]] = f[1]
		}
	}
	return found
}

// moved names what has another version, or is only in one of the two.
func moved(before, after map[string]string) []string {
	var out []string
	for name, version := range after {
		if before[name] != version {
			out = append(out, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func TestPromoteAsksForLittle(t *testing.T) {
	const ns, n = "asks-little", 80
	const objects = n + n/2 + 3*(n/5) + 2 // the Deployment and the code
	api := count(t, "kind-"+productionName)
	dir := bundle(t, productionName, ns, many(ns, n))
	change := func(t *testing.T, changed ...string) {
		t.Helper()
		write(t, dir, many(ns, n, changed...))
	}
	engine := func(a asked) bool { return !a.preflights() }
	record := []string{"ConfigMap/kubectl-ai-" + ns}

	t.Run("at first one of a kind is tried, and every object is written once", func(t *testing.T) {
		r, all := api.promote(t, dir)
		if r.code != 0 {
			t.Fatal(r.stderr)
		}
		tried := lines(all, func(a asked) bool { return strings.Contains(a.query, "dryRun=All") })
		written := lines(all, func(a asked) bool { return a.writes() && a.method == http.MethodPatch })
		if len(tried) != 6 || len(written) != objects {
			t.Errorf("%d dry runs, %d written; want 6 and %d:\n%s", len(tried), len(written), objects, strings.Join(tried, "\n"))
		}
		if !strings.Contains(r.stdout, fmt.Sprintf("create %d more of Secret", n/2-1)) {
			t.Errorf("the plan does not count what it did not ask for:\n%s", r.stdout)
		}
	})

	t.Run("unchanged it is ten requests at most, and no write", func(t *testing.T) {
		before := versionsByName(t, ns)
		r, all := api.promote(t, dir)
		if r.code != 0 || !strings.Contains(r.stderr, "nothing to do") {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		if asked := lines(all, engine); len(asked) > 10 {
			t.Errorf("%d requests:\n%s", len(asked), strings.Join(asked, "\n"))
		}
		if written := lines(all, asked.writes); len(written) > 0 {
			t.Errorf("written: %v", written)
		}
		if m := moved(before, versionsByName(t, ns)); len(m) > 0 {
			t.Errorf("moved: %v", m)
		}
	})

	t.Run("what changed is asked for and written, nothing else", func(t *testing.T) {
		before := versionsByName(t, ns)
		change(t, "ConfigMap", "Secret")
		r, all := api.promote(t, dir)
		if r.code != 0 {
			t.Fatal(r.stderr)
		}
		// 9 to look, 2 to try, 2 to write, 5 to record, 2 to lock, 2 to see the workload.
		if asked := lines(all, engine); len(asked) > 22 {
			t.Errorf("%d requests:\n%s", len(asked), strings.Join(asked, "\n"))
		}
		want := append([]string{"ConfigMap/c0", "Secret/kubectl-ai-" + ns + "-v2", "Secret/s0"}, record...)
		slices.Sort(want)
		if m := moved(before, versionsByName(t, ns)); !slices.Equal(m, want) {
			t.Errorf("moved: %v, want %v", m, want)
		}
	})

	t.Run("what somebody edited is found and named, and nothing is written", func(t *testing.T) {
		kubectl(t, productionName, "patch", "configmap", "c5", "-n", ns, "-p", `{"data":{"revision":"theirs"}}`)
		kubectl(t, productionName, "scale", "deployment", "main", "-n", ns, "--replicas=1")
		before := versionsByName(t, ns)
		change(t, "Secret") // and with that a change that nobody objects to
		r, all := api.promote(t, dir)
		for _, want := range []string{"APPLY-001", `ConfigMap/c5 in ` + ns + `: .data.revision belongs to "kubectl-patch" (kubectl patch)`, `.spec.replicas belongs to "kubectl" (kubectl scale)`} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("no %q in:\n%s", want, r.stderr)
			}
		}
		if written := lines(all, asked.writes); r.code != 1 || len(written) > 0 {
			t.Errorf("exit %d, written: %v", r.code, written)
		}
		after := versionsByName(t, ns)
		delete(before, "Deployment/main") // its controller writes
		delete(after, "Deployment/main")
		if m := moved(before, after); len(m) > 0 {
			t.Errorf("moved: %v", m)
		}
		if r, all := api.promote(t, dir, "--take-over", "kubectl-patch"); r.code != 1 || strings.Contains(r.stderr, "ConfigMap/c5") || len(lines(all, asked.writes)) > 0 {
			t.Errorf("one of two managers named: exit %d: %s", r.code, r.stderr)
		}
		if r, _ := api.promote(t, dir, "--take-over", "kubectl-patch", "--take-over", "kubectl"); r.code != 0 {
			t.Fatalf("both named: exit %d: %s", r.code, r.stderr)
		}
		got := kubectl(t, productionName, "get", "configmap/c5", "deployment/main", "-n", ns, "-o", "jsonpath={.items[0].data.revision} {.items[1].spec.replicas}")
		if got != "1 0" {
			t.Errorf("revision and replicas are %q", got)
		}
	})

	t.Run("fields of client-side apply become ours, and those that the bundle does not have go", func(t *testing.T) {
		apply(t, productionName, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: c6, namespace: %s}, data: {revision: theirs, more: left}}", ns))
		if r, _ := api.promote(t, dir); r.code != 0 {
			t.Fatal(r.stderr)
		}
		if got := kubectl(t, productionName, "get", "configmap", "c6", "-n", ns, "-o", "jsonpath={.data}"); got != `{"revision":"1"}` {
			t.Errorf("data = %s", got)
		}
	})

	t.Run("what somebody deleted and made anew is neither overwritten nor pruned", func(t *testing.T) {
		label := strings.TrimSpace(kubectl(t, productionName, "get", "configmap", "c7", "-n", ns, "-o", `jsonpath={.metadata.labels.applyset\.kubernetes\.io/part-of}`))
		kubectl(t, productionName, "delete", "configmap", "c7", "-n", ns)
		kubectl(t, productionName, "create", "configmap", "c7", "-n", ns, "--from-literal=revision=theirs")
		kubectl(t, productionName, "label", "configmap", "c7", "-n", ns, "applyset.kubernetes.io/part-of="+label)
		r, all := api.promote(t, dir)
		if r.code != 1 || !strings.Contains(r.stderr, "APPLY-003") || !strings.Contains(r.stderr, "ConfigMap/c7") || len(lines(all, asked.writes)) > 0 {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		all7 := many(ns, n, "Secret")
		all7["overlays/production/all.yaml"] = strings.Replace(all7["overlays/production/all.yaml"], "name: c7}", "name: c7x}", 1)
		write(t, dir, all7)
		if r, _ := api.promote(t, dir); r.code != 0 {
			t.Fatal(r.stderr)
		}
		if got := kubectl(t, productionName, "get", "configmap", "c7", "-n", ns, "-o", "jsonpath={.data.revision}"); got != "theirs" {
			t.Errorf("it was overwritten: %q", got)
		}
	})
}

func TestPromoteNeverDeletesAJobForAMistake(t *testing.T) {
	const ns = "mistaken-job"
	files := many(ns, 1)
	files["overlays/production/all.yaml"] = fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  parallelism: 1
  template: {spec: {restartPolicy: Never, containers: [{name: main, image: %s, command: ["true"]}]}}
`, pythonImage)
	api := count(t, "kind-"+productionName)
	dir := bundle(t, productionName, ns, files)
	if r, _ := api.promote(t, dir); r.code != 0 {
		t.Fatal(r.stderr)
	}
	before := identity(t, productionName, ns)
	// A field that may change in place, so that the Job keeps its name.
	save(t, filepath.Join(dir, "overlays/production/all.yaml"), strings.Replace(files["overlays/production/all.yaml"], "parallelism: 1", "parallelism: -1", 1))
	r, all := api.promote(t, dir)
	if r.code != 1 || !strings.Contains(r.stderr, "parallelism") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if written := lines(all, asked.writes); len(written) > 0 {
		t.Errorf("written: %v", written)
	}
	if after := identity(t, productionName, ns); after != before {
		t.Errorf("the Job is\n%s\nwas\n%s", after, before)
	}
}

// TestPromoteBringsNamespaceCRDAndInstance promotes a bundle whose objects
// cannot be asked for: what they need comes along.
func TestPromoteBringsNamespaceCRDAndInstance(t *testing.T) {
	const ns = "brought-along"
	files := many(ns, 4)
	files["overlays/production/kustomization.yaml"] = "namespace: " + ns + "\nresources: [all.yaml, main.yaml, widget.yaml, crd.yaml, space.yaml]\n"
	files["overlays/production/space.yaml"] = "{apiVersion: v1, kind: Namespace, metadata: {name: " + ns + "}}\n"
	files["overlays/production/crd.yaml"] = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: parts.brought-along.example.com}
spec:
  group: brought-along.example.com
  scope: Namespaced
  names: {kind: Part, plural: parts}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, required: [size], properties: {size: {type: integer}}}}}}}
`
	widget := "{apiVersion: brought-along.example.com/v1, kind: Part, metadata: {name: one}, spec: {size: 3}}\n"
	files["overlays/production/widget.yaml"] = strings.Replace(widget, "3", "large", 1)
	dir := filepath.Join(t.TempDir(), ns)
	write(t, dir, files)
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "crd", "--ignore-not-found", "--wait=false", "parts.brought-along.example.com")
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "namespace", "--ignore-not-found", "--wait=false", ns)
	})
	api := count(t, "kind-"+productionName)

	r, all := api.promote(t, dir)
	if r.code != 1 || !strings.Contains(r.stderr, "spec.size") || len(lines(all, asked.writes)) > 0 {
		t.Errorf("an instance that does not fit: exit %d: %s", r.code, r.stderr)
	}
	save(t, filepath.Join(dir, "overlays/production/widget.yaml"), widget)
	r, all = api.promote(t, dir, "--dry-run", "-o", "json")
	var plan struct {
		Changes []struct {
			Action, Unverified string
			Object             struct{ Kind string }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &plan); err != nil || len(lines(all, asked.writes)) > 0 {
		t.Fatalf("%v: %s", err, r.stderr)
	}
	said := map[string]string{}
	for _, c := range plan.Changes {
		if c.Action != "create" {
			t.Errorf("%s is to %s", c.Object.Kind, c.Action)
		}
		if said[c.Object.Kind] == "" {
			said[c.Object.Kind] = c.Unverified
		}
	}
	if !strings.Contains(said["Part"], "schema") || !strings.Contains(said["ConfigMap"], "namespace default") || said["Namespace"] != "" {
		t.Errorf("how it was checked: %v", said)
	}
	if r, _ := api.promote(t, dir); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if got := kubectl(t, productionName, "get", "parts.brought-along.example.com", "one", "-n", ns, "-o", "jsonpath={.spec.size}"); got != "3" {
		t.Errorf("size = %s", got)
	}
	if r, all := api.promote(t, dir); !strings.Contains(r.stderr, "nothing to do") || len(lines(all, asked.writes)) > 0 {
		t.Errorf("again: exit %d: %s", r.code, r.stderr)
	}
}
