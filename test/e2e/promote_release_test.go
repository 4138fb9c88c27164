//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// settled is a bundle without images of its own and without a namespace of
// its own in the cluster: a Deployment that runs the code from a ConfigMap,
// and as many ConfigMaps as said.
func settled(name string, configMaps, replicas int) map[string]string {
	files := map[string]string{
		"src/train.py": "import time\nwhile True:\n    time.sleep(1)\n",
		"kubectl-ai.yaml": fmt.Sprintf(`apiVersion: kubectl-ai.dev/v1alpha1
kind: Project
metadata: {name: %s}
code: [{path: src, mountPath: /app}]
environments:
  production: {context: kind-%s, codeFormat: configMap}
`, name, productionName),
		"base/app.yaml": fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: %d
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: %s
        workingDir: /app
        command: [python3, train.py]
        resources: {requests: {cpu: 1m, memory: 16Mi}}
`, replicas, pythonImage),
		"base/secret.yaml":                       "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {value: correct-horse-battery}\n",
		"overlays/production/kustomization.yaml": fmt.Sprintf("namespace: %s\nresources: [../../base]\n", name),
	}
	settings(files, configMaps, "1")
	return files
}

// settings writes the ConfigMaps of a bundle.
func settings(files map[string]string, n int, value string) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-%d}\ndata: {value: \"%s\"}\n", i, value)
	}
	files["base/settings.yaml"] = b.String()
	files["base/kustomization.yaml"] = "resources: [app.yaml, secret.yaml, settings.yaml]\n"
}

// place writes a bundle; whatever it brings is gone after the test.
func place(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	write(t, dir, files)
	t.Cleanup(func() {
		cmd := exec.Command(plugin, "uninstall", dir, "--to", "production", "--delete-data", "all", "--yes")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("clean up: %v\n%s", err, out)
		}
	})
	return dir
}

// quiet waits until the pods that an update replaced are gone: the server
// writes that to a Deployment's status long after the update was complete.
func quiet(t *testing.T, cluster, ns string) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		going := kubectl(t, cluster, "get", "deployments", "-n", ns, "-o", `jsonpath={range .items[?(@.status.terminatingReplicas>0)]}{.metadata.name} {end}`)
		if going != "" {
			return fmt.Errorf("pods of %s are still ending", going)
		}
		return nil
	})
}

// stamps are the resource versions of all that a promotion may write in a
// namespace.
func stamps(t *testing.T, ns string) string {
	t.Helper()
	return kubectl(t, productionName, "get", "configmaps,secrets,deployments,statefulsets,persistentvolumeclaims,leases", "-n", ns,
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
}

func exists(t *testing.T, ns, object string) bool {
	t.Helper()
	return strings.TrimSpace(kubectl(t, productionName, "get", object, "-n", ns, "--ignore-not-found", "-o", "name")) != ""
}

func TestRelease(t *testing.T) {
	t.Parallel() // beside others that mostly wait, each in namespaces of its own
	const ns = "kai-release"
	files := settled(ns, 6, 1)
	files["base/extra.yaml"] = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: dear, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}
`
	files["base/kustomization.yaml"] = "resources: [app.yaml, secret.yaml, settings.yaml, extra.yaml]\n"
	dir := place(t, ns, files)
	to := []string{dir, "--to", "production"}
	promote := func(args ...string) result {
		return ai(t, append(append([]string{"promote"}, to...), append(args, "--yes", "--unproven")...)...)
	}
	type object struct{ Data, Template string }
	live := func() object {
		return object{
			kubectl(t, productionName, "get", "configmaps", "-n", ns, "-l", "applyset.kubernetes.io/part-of", "-o", `jsonpath={range .items[*]}{.metadata.name} {.data}{.binaryData}{"\n"}{end}`),
			kubectl(t, productionName, "get", "deployment", "app", "-n", ns, "-o", "jsonpath={.spec.template}"),
		}
	}

	must(t, append([]string{"promote", "--yes", "--unproven"}, to...)...)
	first := live()

	t.Run("show says what the release is, and no secret", func(t *testing.T) {
		var shown struct {
			Revision   int    `json:"revision"`
			Current    bool   `json:"current"`
			TreeDigest string `json:"treeDigest"`
			Objects    []struct{ Kind, Name string }
		}
		if err := json.Unmarshal([]byte(must(t, append([]string{"show", "-o", "json"}, to...)...).stdout), &shown); err != nil {
			t.Fatal(err)
		}
		if shown.Revision != 1 || !shown.Current || shown.TreeDigest != digestHere(t, filepath.Join(dir, "src")) || len(shown.Objects) < 10 {
			t.Errorf("%+v", shown)
		}
		manifests := must(t, append([]string{"show", "-o", "yaml"}, to...)...).stdout
		if !strings.Contains(manifests, "name: settings-5") || !strings.Contains(manifests, "name: token") || strings.Contains(manifests, "correct-horse") {
			t.Errorf("the manifests are not all there, or hold the secret:\n%s", manifests)
		}
		stored := kubectl(t, productionName, "get", "configmap", "kubectl-ai-"+ns, "-n", ns, "-o", "yaml")
		if strings.Contains(stored, "correct-horse") {
			t.Errorf("the ConfigMap holds a Secret's value:\n%s", stored)
		}
	})

	t.Run("a rollback brings back the objects and the code, byte for byte", func(t *testing.T) {
		settings(files, 6, "2")
		save(t, filepath.Join(dir, "base/settings.yaml"), files["base/settings.yaml"])
		save(t, filepath.Join(dir, "src/more.py"), "x = 1\n")
		if r := promote(); r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		if live() == first {
			t.Fatal("nothing changed")
		}
		must(t, append([]string{"rollback", "--yes"}, to...)...)
		if got := live(); got != first {
			t.Errorf("got\n%v\nwant\n%v", got, first)
		}
		h := history(t, dir)
		if len(h.Items) != 3 || h.Current != 3 || h.Items[2].TreeDigest != h.Items[0].TreeDigest || h.Items[1].TreeDigest == h.Items[0].TreeDigest {
			t.Errorf("history = %+v", h)
		}
		if r := must(t, append([]string{"show", "--release", "2"}, to...)...); !strings.Contains(r.stdout, h.Items[1].TreeDigest) {
			t.Errorf("show --release 2 says\n%s", r.stdout)
		}
	})

	t.Run("a claim and what is annotated stay when they leave the bundle", func(t *testing.T) {
		save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [app.yaml, secret.yaml, settings.yaml]\n")
		if r := promote(); r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		if !exists(t, ns, "pvc/data") || !exists(t, ns, "configmap/dear") {
			t.Error("they are gone")
		}
	})

	t.Run("more than 30 percent are not pruned unasked", func(t *testing.T) {
		quiet(t, productionName, ns)
		before := stamps(t, ns)
		settings(files, 2, "2")
		save(t, filepath.Join(dir, "base/settings.yaml"), files["base/settings.yaml"])
		if r := promote(); r.code != 3 || !strings.Contains(r.stderr, "PRO-074") || !strings.Contains(r.stderr, "--prune-max") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if after := stamps(t, ns); after != before {
			t.Errorf("something was written:\n%s\nwas\n%s", after, before)
		}
	})

	t.Run("what a policy does not let go is tried again", func(t *testing.T) {
		deny(t, ns, "settings-5")
		r := promote("--prune-max", "60")
		if r.code != 1 || !strings.Contains(r.stderr, "PRO-017") || !strings.Contains(r.stderr, "ConfigMap/settings-5") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if !exists(t, ns, "configmap/settings-5") || exists(t, ns, "configmap/settings-4") {
			t.Error("the others went, and only the others")
		}
		kubectl(t, productionName, "delete", "validatingadmissionpolicybindings,validatingadmissionpolicies", "-l", "e2e="+ns)
		eventually(t, 30*time.Second, func() error {
			if r := promote(); r.code != 0 {
				return fmt.Errorf("exit %d: %s", r.code, r.stderr)
			}
			return nil
		})
		if exists(t, ns, "configmap/settings-5") {
			t.Error("it is still there")
		}
	})

	t.Run("while one promotes another is refused by name", func(t *testing.T) {
		save(t, filepath.Join(dir, "base/app.yaml"), files["base/app.yaml"]+"        readinessProbe: {exec: {command: [\"false\"]}}\n")
		waiting := exec.Command(plugin, "promote", dir, "--to", "production", "--yes", "--unproven")
		var said bytes.Buffer
		waiting.Stderr = &said
		if err := waiting.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, func() error {
			if !exists(t, ns, "lease/kubectl-ai-"+ns) {
				return fmt.Errorf("no lease yet")
			}
			return nil
		})
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if r := ai(t, append([]string{"rollback", "--to-release", "1", "--yes"}, to...)...); r.code != 3 || !strings.Contains(r.stderr, "PRO-070") || !strings.Contains(r.stderr, "from "+host) || !strings.Contains(r.stderr, "promote of "+ns) {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if h := history(t, dir); h.Items[len(h.Items)-1].Status != "pending" {
			t.Errorf("history = %+v", h)
		}
		_ = waiting.Process.Signal(os.Interrupt)
		_ = waiting.Wait()
		if code := waiting.ProcessState.ExitCode(); code != 130 {
			t.Errorf("exit %d after Ctrl-C: %s", code, said.String())
		}
		if exists(t, ns, "lease/kubectl-ai-"+ns) {
			t.Error("the lock was not given back")
		}
		if h := history(t, dir); h.Items[len(h.Items)-1].Status != "failed" {
			t.Errorf("history = %+v", h)
		}
	})

	t.Run("the lock of a run that died is taken over", func(t *testing.T) {
		waiting := exec.Command(plugin, "promote", dir, "--to", "production", "--yes", "--unproven")
		if err := waiting.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, func() error {
			if !exists(t, ns, "lease/kubectl-ai-"+ns) {
				return fmt.Errorf("no lease yet")
			}
			return nil
		})
		_ = waiting.Process.Signal(syscall.SIGKILL)
		_ = waiting.Wait()
		save(t, filepath.Join(dir, "base/app.yaml"), files["base/app.yaml"])
		if r := promote(); r.code != 0 || !strings.Contains(r.stderr, "is alive") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if h := history(t, dir); h.Current != h.Items[len(h.Items)-1].Revision {
			t.Errorf("history = %+v", h)
		}
	})

	t.Run("no run and no question about one writes unasked", func(t *testing.T) {
		quiet(t, productionName, ns)
		before := stamps(t, ns)
		promote()
		must(t, append([]string{"promote", "--dry-run", "--unproven"}, to...)...)
		must(t, append([]string{"uninstall", "--dry-run", "--delete-data", "all"}, to...)...)
		if r := ai(t, append([]string{"uninstall"}, to...)...); r.code != 2 {
			t.Errorf("uninstall without a terminal and --yes: exit %d: %s", r.code, r.stderr)
		}
		if after := stamps(t, ns); after != before {
			t.Errorf("something was written:\n%s\nwas\n%s", after, before)
		}
	})
}

// deny forbids to delete a ConfigMap in a namespace, until the test ends.
func deny(t *testing.T, ns, name string) {
	t.Helper()
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "validatingadmissionpolicybindings,validatingadmissionpolicies", "-l", "e2e="+ns)
	})
	apply(t, productionName, fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s-deny, labels: {e2e: %[1]s}}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [DELETE], resources: [configmaps]}]
  validations: [{expression: "oldObject.metadata.name != '%[2]s'", message: it is dear to somebody}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s-deny, labels: {e2e: %[1]s}}
spec: {policyName: %[1]s-deny, validationActions: [Deny]}
`, ns, name))
	eventually(t, time.Minute, func() error {
		if out, err := tryKubectl(t.Context(), productionName, "", "delete", "configmap", name, "-n", ns, "--dry-run=server"); err == nil {
			return fmt.Errorf("not yet: %s", out)
		}
		return nil
	})
}

func TestUninstall(t *testing.T) {
	const ns, old = "kai-uninstall", "kai-uninstall-old"
	namespace(t, productionName, old)
	kubectl(t, productionName, "label", "namespace", old, "team=theirs")
	kubectl(t, productionName, "create", "configmap", "theirs", "-n", old)
	// What is cluster-wide, and what the namespaces hold and are labelled with.
	everything := func() map[string]bool {
		out := kubectl(t, productionName, "get", "namespaces,crds,clusterroles,clusterrolebindings,persistentvolumes,priorityclasses", "-o", "name")
		for _, ns := range []string{ns, old} {
			out += kubectl(t, productionName, "get", "all,configmaps,secrets,serviceaccounts,roles,rolebindings,pvc,leases", "-n", ns, "-o", "custom-columns=X:.metadata.namespace,K:.kind,N:.metadata.name", "--no-headers")
		}
		out += kubectl(t, productionName, "get", "namespace", old, "-o", "jsonpath={.metadata.labels}")
		lines := map[string]bool{}
		for line := range strings.Lines(out) {
			lines[strings.TrimSpace(line)] = true
		}
		return lines
	}
	before := everything()

	files := settled(ns, 2, 1)
	files["overlays/production/kustomization.yaml"] = "resources: [../../base]\n"
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "codeFormat", "namespace: "+ns+", codeFormat", 1)
	files["base/more.yaml"] = fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[2]s, labels: {team: theirs}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ours, namespace: %[2]s}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.%[1]s.example.org}
spec:
  group: %[1]s.example.org
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: %[1]s.example.org/v1
kind: Widget
metadata: {name: ours}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules: []
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: %[3]s, command: [sleep, infinity], resources: {requests: {cpu: 1m}}, volumeMounts: [{name: data, mountPath: /data}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
`, ns, old, pythonImage)
	files["base/kustomization.yaml"] = "resources: [app.yaml, secret.yaml, settings.yaml, more.yaml]\n"
	dir := place(t, ns, files)
	to := []string{dir, "--to", "production", "--yes"}

	must(t, append([]string{"promote", "--unproven"}, to...)...)
	widget := fmt.Sprintf("apiVersion: %s.example.org/v1\nkind: Widget\nmetadata: {name: theirs, namespace: %s}\n", ns, old)
	apply(t, productionName, widget)

	t.Run("data, and what others rely on, stays and is listed", func(t *testing.T) {
		var removed struct {
			Kept []struct {
				Object struct{ Kind, Name string }
				Reason string
			}
		}
		if err := json.Unmarshal([]byte(must(t, append([]string{"uninstall", "-o", "json"}, to...)...).stdout), &removed); err != nil {
			t.Fatal(err)
		}
		kept := map[string]string{}
		for _, k := range removed.Kept {
			kept[k.Object.Kind+"/"+k.Object.Name] = k.Reason
		}
		for _, want := range []string{"PersistentVolumeClaim/data-db-0", "Namespace/" + old, "Namespace/" + ns, "CustomResourceDefinition/widgets." + ns + ".example.org"} {
			if kept[want] == "" {
				t.Errorf("%s is not listed among %v", want, kept)
			}
		}
		for _, object := range []string{"pvc/data-db-0", "configmap/theirs -n " + old, "crd/widgets." + ns + ".example.org"} {
			if out, err := tryKubectl(t.Context(), productionName, "", append([]string{"get", "-n", ns}, strings.Fields(object)...)...); err != nil {
				t.Errorf("%s: %v %s", object, err, out)
			}
		}
		for _, object := range []string{"deployment/app", "secret/token", "statefulset/db", "configmap/kubectl-ai-" + ns} {
			if exists(t, ns, object) {
				t.Errorf("%s is still there", object)
			}
		}
	})

	t.Run("with all its data the cluster is as it was before", func(t *testing.T) {
		must(t, append([]string{"promote", "--unproven"}, to...)...)
		kubectl(t, productionName, "delete", "-n", old, "widgets."+ns+".example.org", "theirs")
		must(t, append([]string{"uninstall", "--delete-data", "all"}, to...)...)
		eventually(t, 3*time.Minute, func() error { // the volume goes after its claim
			after := everything()
			for line := range after {
				if !before[line] {
					return fmt.Errorf("there was no %s before", line)
				}
			}
			for line := range before {
				if !after[line] && strings.Contains(line, old) {
					return fmt.Errorf("%s is missing", line)
				}
			}
			return nil
		})
		if r := must(t, append([]string{"uninstall", "--delete-data", "all"}, to...)...); !strings.Contains(r.stderr, "nothing to do") {
			t.Errorf("again: %s", r.stderr)
		}
	})
}

func TestPromoteTheReleaseOfAnotherEnvironment(t *testing.T) {
	const ns, staging = "kai-from", "kai-from-staging"
	files := settled(ns, 1, 1)
	files["kubectl-ai.yaml"] += fmt.Sprintf("  staging: {context: kind-%s, codeFormat: configMap}\n", productionName)
	files["overlays/staging/kustomization.yaml"] = fmt.Sprintf("namespace: %s\nresources: [../../base]\n", staging)
	files["overlays/production/kustomization.yaml"] += "patches:\n- {target: {kind: ConfigMap, name: settings-0}, patch: '[{\"op\": \"replace\", \"path\": \"/data/value\", \"value\": \"of-production\"}]'}\n"
	dir := place(t, ns, files)
	t.Cleanup(func() { _ = exec.Command(plugin, "uninstall", dir, "--to", "staging", "--yes").Run() })
	tried := digestHere(t, filepath.Join(dir, "src"))
	must(t, "promote", dir, "--to", "staging", "--yes", "--unproven")
	save(t, filepath.Join(dir, "src/train.py"), "raise SystemExit('never tried')\n")

	if r := must(t, "promote", dir, "--from", "staging", "--to", "production", "--yes"); !strings.Contains(r.stderr, "release 1 of staging") {
		t.Errorf("it says\n%s", r.stderr)
	}
	pod := strings.TrimSpace(kubectl(t, productionName, "get", "pods", "-n", ns, "-l", "app=app", "-o", "jsonpath={.items[0].metadata.name}"))
	// A ConfigMap volume is read through its links: the one that all go through.
	if got := digestIn(t, productionName, ns, pod, "/app/..data/"); got != tried {
		t.Errorf("production holds %s, staging was given %s", got, tried)
	}
	if got := kubectl(t, productionName, "get", "configmap", "settings-0", "-n", ns, "-o", "jsonpath={.data.value}"); got != "of-production" {
		t.Errorf("the configuration is %q, not that of production's overlay", got)
	}
	var shown struct{ TreeDigest, From string }
	if err := json.Unmarshal([]byte(must(t, "show", dir, "--to", "production", "-o", "json").stdout), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.TreeDigest != tried || shown.From != "staging/1" {
		t.Errorf("%+v", shown)
	}
	if r := must(t, "promote", dir, "--from", "staging", "--to", "production", "--yes"); !strings.Contains(r.stderr, "nothing to do") {
		t.Errorf("again: %s", r.stderr)
	}
	save(t, filepath.Join(dir, "kubectl-ai.yaml"), strings.Replace(files["kubectl-ai.yaml"], "codeFormat: configMap}", fmt.Sprintf("codeFormat: layer, registry: \"localhost:%s/e2e\"}", registryPort), 1))
	if r := ai(t, "promote", dir, "--from", "staging", "--to", "production", "--yes"); r.code != 2 || !strings.Contains(r.stderr, "PRO-075") {
		t.Errorf("another form of the code: exit %d: %s", r.code, r.stderr)
	}
	save(t, filepath.Join(dir, "kubectl-ai.yaml"), files["kubectl-ai.yaml"])
}
