//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// furtherClusters makes two more clusters beside production, both at once, and
// deletes them with the test.
func furtherClusters(t *testing.T) (first, second string) {
	t.Helper()
	names := []string{sandboxName + "-w1", sandboxName + "-w2"}
	outputs := make([]string, len(names))
	errs := make([]error, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		if os.Getenv("KUBECTL_AI_E2E_REUSE") != "" {
			if _, err := tryKubectl(t.Context(), name, "", "get", "nodes"); err == nil {
				continue
			}
		}
		_ = exec.Command(plugin, "sandbox", "delete", "--name", name, "--yes").Run() // of a run that was killed
		t.Cleanup(func() {
			if out, err := exec.Command(plugin, "sandbox", "delete", "--name", name, "--yes").CombinedOutput(); err != nil {
				t.Errorf("delete %s: %v\n%s", name, err, out)
			}
		})
		group.Go(func() {
			out, err := exec.CommandContext(t.Context(), plugin, "sandbox", "create", "--name", name, "--gpus", "none").CombinedOutput()
			outputs[i], errs[i] = string(out), err
		})
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("sandbox create %s: %v\n%s", names[i], err, outputs[i])
		}
	}
	return names[0], names[1]
}

// service is a bundle that a cluster runs with what every node has: the code
// goes as a ConfigMap, and the image is the one that holds pods' namespaces.
func service(t *testing.T, name string) map[string]string {
	t.Helper()
	out, err := exec.Command("docker", "exec", productionName+"-control-plane", "crictl", "images").Output()
	if err != nil {
		t.Fatal(err)
	}
	pause := regexp.MustCompile(`registry\.k8s\.io/pause\s+(\S+)`).FindSubmatch(out)
	if pause == nil {
		t.Fatalf("no pause image in the node:\n%s", out)
	}
	return map[string]string{
		"src/generation.txt":                     "generation 0\n",
		"base/kustomization.yaml":                "resources: [deployment.yaml]\n",
		"overlays/sandbox/kustomization.yaml":    "resources: [../../base]\n",
		"overlays/production/kustomization.yaml": fmt.Sprintf("namespace: %s\nresources: [../../base]\n", name),
		"base/deployment.yaml": fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: "registry.k8s.io/pause:%[2]s", workingDir: /app}
`, name, pause[1]),
	}
}

// writes counts the requests that a cluster's API server has taken for writes
// to the kinds of a service's release: dry runs and status are none. In the
// production cluster those of other tests are among them.
func writes(t *testing.T, cluster string) map[string]string {
	t.Helper()
	if cluster == productionName {
		return nil
	}
	counter := regexp.MustCompile(`apiserver_request_total\{[^}]*dry_run="",[^}]*resource="(configmaps|secrets|deployments|namespaces)",[^}]*subresource="",verb="(POST|PUT|PATCH|APPLY|DELETE)"[^}]*\} \S+`)
	found := map[string]string{}
	for _, line := range counter.FindAllString(kubectl(t, cluster, "get", "--raw", "/metrics"), -1) {
		series, count, _ := strings.Cut(line, "} ")
		found[series] = count
	}
	if len(found) == 0 {
		t.Fatal("the API server counts no writes at all")
	}
	return found
}

// writtenVersions are the resourceVersions of what a release may write.
func writtenVersions(t *testing.T, cluster, ns string) string {
	t.Helper()
	return kubectl(t, cluster, "get", "deployments,configmaps,secrets", "-n", ns, "--sort-by=.metadata.uid", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
}

// untouched runs do and says whether a cluster took no write meanwhile.
func untouched(t *testing.T, ns string, clusters []string, do func()) {
	t.Helper()
	before, counted := map[string]string{}, map[string]map[string]string{}
	for _, c := range clusters {
		quiet(t, c, ns)
		before[c], counted[c] = writtenVersions(t, c, ns), writes(t, c)
	}
	do()
	for _, c := range clusters {
		if after := writtenVersions(t, c, ns); after != before[c] {
			t.Errorf("%s was written to:\n%s\nwas\n%s", c, after, before[c])
		}
		if after := writes(t, c); !maps.Equal(after, counted[c]) {
			t.Errorf("%s took writes:\n%v\nwere\n%v", c, after, counted[c])
		}
	}
}

// waveReport is what `promote -o json` prints for several clusters.
type waveReport struct {
	Items []struct {
		Cluster, State string
		Release        *struct {
			Revision   int
			RollbackTo int
			TreeDigest string
			Gates      []struct {
				Kind   string
				Wave   int
				Passed bool
			}
			Workloads []struct{ Phase string }
		}
	}
}

func (r waveReport) states() string {
	var out []string
	for _, i := range r.Items {
		out = append(out, i.Cluster+" "+i.State)
	}
	return strings.Join(out, ", ")
}

func TestThreeClustersInTwoWaves(t *testing.T) {
	const ns = "waves"
	w1, w2 := furtherClusters(t)
	all := []string{productionName, w1, w2}
	var uids []string
	for _, c := range all {
		uids = append(uids, kubectl(t, c, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"))
	}
	project := fmt.Sprintf(`apiVersion: kubectl-ai.dev/v1alpha1
kind: Project
metadata: {name: %[1]s}
code: [{path: src, mountPath: /app}]
environments:
  sandbox: {context: kind-%[2]s}
  production:
    codeFormat: configMap
    clusters:
    - {name: eu-1, context: kind-%[3]s, uid: %[6]s}
    - {name: eu-2, context: kind-%[4]s, uid: %[7]s}
    - {name: us-1, context: kind-%[5]s, uid: %[8]s}
    waves:
    - {clusters: [eu-1], soak: 1s, gates: [{command: [test, -e, open]}]}
    - {clusters: [eu-2, us-1], parallelism: 2}
`, ns, sandboxName, productionName, w1, w2, uids[0], uids[1], uids[2])
	files := service(t, ns)
	files["kubectl-ai.yaml"] = project
	files["open"] = ""
	dir := filepath.Join(t.TempDir(), ns)
	write(t, dir, files)
	for _, c := range all {
		namespace(t, c, ns)
	}
	promote := func(want int, extra ...string) (waveReport, string) {
		t.Helper()
		r := ai(t, append([]string{"promote", dir, "--to", "production", "--yes", "--unproven", "-o", "json"}, extra...)...)
		if r.code != want {
			t.Fatalf("exit %d, want %d: %s\n%s", r.code, want, r.stderr, r.stdout)
		}
		var report waveReport
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
			t.Fatalf("%v: %s", err, r.stdout)
		}
		return report, r.stderr
	}
	// runs are the digests of the code that the clusters' templates carry.
	runs := func() (out []string) {
		t.Helper()
		for _, c := range all {
			out = append(out, kubectl(t, c, "get", "deployment", ns, "-n", ns, "-o", `jsonpath={.spec.template.metadata.annotations.kubectl-ai\.dev/tree-digest}`))
		}
		return out
	}
	expect := func(want ...string) {
		t.Helper()
		if got := runs(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("the clusters run\n%v, want\n%v", got, want)
		}
	}
	code := func(generation int) string {
		save(t, filepath.Join(dir, "src/generation.txt"), fmt.Sprintf("generation %d\n", generation))
		return strings.TrimSpace(must(t, "digest", dir).stdout)
	}
	gate := func(open bool) {
		t.Helper()
		path := filepath.Join(dir, "open")
		_ = os.Remove(path)
		if open {
			save(t, path, "")
		}
	}

	zero := code(0)
	r, said := promote(0)
	expect(zero, zero, zero)
	if r.states() != "eu-1 Deployed, eu-2 Deployed, us-1 Deployed" {
		t.Errorf("%s\n%s", r.states(), said)
	}
	if later := r.Items[2].Release; len(later.Gates) != 1 || later.Gates[0].Wave != 1 || !later.Gates[0].Passed || later.Workloads[0].Phase != "Running" {
		t.Errorf("the second wave does not record the gate that let it pass: %+v", later)
	}

	t.Run("the same again writes nothing anywhere", func(t *testing.T) {
		untouched(t, ns, all, func() {
			if r, _ := promote(0); r.states() != "eu-1 Unchanged, eu-2 Unchanged, us-1 Unchanged" {
				t.Error(r.states())
			}
		})
	})

	one := code(1)
	t.Run("a gate that refuses after the first wave: it goes back, and the second takes no write", func(t *testing.T) {
		gate(false)
		untouched(t, ns, []string{w1, w2}, func() {
			r, said := promote(5)
			if r.states() != "eu-1 RolledBack, eu-2 NotBegun, us-1 NotBegun" || r.Items[0].Release.RollbackTo != 1 {
				t.Errorf("%s: %s", r.states(), said)
			}
			if !strings.Contains(said, "GATE-001") {
				t.Error(said)
			}
		})
		expect(zero, zero, zero)
	})

	t.Run("resumed, it goes through", func(t *testing.T) {
		gate(true)
		promote(0)
		expect(one, one, one)
	})

	two := code(2)
	t.Run("left as it is, a resumed run does what is missing alone", func(t *testing.T) {
		gate(false)
		save(t, filepath.Join(dir, "kubectl-ai.yaml"), project+"    onFailure: stop\n")
		untouched(t, ns, []string{w1, w2}, func() {
			if r, _ := promote(5); r.states() != "eu-1 Deployed, eu-2 NotBegun, us-1 NotBegun" {
				t.Error(r.states())
			}
		})
		expect(two, one, one)
		untouched(t, ns, []string{productionName}, func() {
			promote(5) // repeating does not get round the gate
			gate(true)
			if r, _ := promote(0); r.states() != "eu-1 Unchanged, eu-2 Deployed, us-1 Deployed" {
				t.Error(r.states())
			}
		})
		expect(two, two, two)
	})

	t.Run("one cluster that cannot work keeps all from being written to", func(t *testing.T) {
		code(3)
		kubectl(t, w2, "create", "configmap", "-n", ns, "foreign")
		save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [deployment.yaml, foreign.yaml]\n")
		save(t, filepath.Join(dir, "base/foreign.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: foreign}\ndata: {a: ours}\n")
		untouched(t, ns, all, func() {
			r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven")
			if r.code == 0 || !strings.Contains(r.stderr, "cluster us-1") || strings.Contains(r.stderr, "cluster eu-1") {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
		})
		save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [deployment.yaml]\n")
		code(2)
	})

	t.Run("rollback and history of one cluster", func(t *testing.T) {
		untouched(t, ns, []string{productionName, w2}, func() {
			must(t, "rollback", dir, "--to", "production", "--cluster", "eu-2", "--yes")
		})
		expect(two, one, two)
		var list struct {
			Items []struct {
				Cluster  string
				Releases releases
			}
		}
		if err := json.Unmarshal([]byte(must(t, "history", dir, "--to", "production", "-o", "json").stdout), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 3 || list.Items[1].Cluster != "eu-2" || list.Items[1].Releases.Current != len(list.Items[1].Releases.Items) {
			t.Errorf("%+v", list)
		}
	})

	t.Run("a context that leads to another cluster is refused", func(t *testing.T) {
		save(t, filepath.Join(dir, "kubectl-ai.yaml"), strings.Replace(project, uids[1], uids[2], 1))
		untouched(t, ns, all, func() {
			if r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven"); r.code != 3 || !strings.Contains(r.stderr, "PRO-060") {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
		})
		if r := ai(t, "clusters", dir, "--to", "production"); r.code != 3 || !strings.Contains(r.stdout, "another: "+uids[2]) {
			t.Errorf("exit %d: %s", r.code, r.stdout)
		}
	})
}
