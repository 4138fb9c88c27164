//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// killed is a project whose runs are killed, and what must survive that.
type killed struct {
	t      *testing.T
	ns     string
	dir    string
	files  map[string]string
	layers bool // the code goes as an image
	random *rand.Rand

	value   int // of the settings as the bundle has them
	foreign string
	took    map[string]time.Duration // by verb: how long its last whole run was
}

const (
	apiRestarts  = ", the API server restarts"
	registryDown = ", the registry is down"
)

// TestKillAtAnyPoint kills promote, rollback and uninstall with SIGKILL, some
// while the API server restarts or the registry is down. After each, the next
// run has to end well, and to know all that is there.
func TestKillAtAnyPoint(t *testing.T) {
	points := 6
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		points = 30
	}
	const seed = 6
	k := &killed{t: t, ns: "kai-kill", random: rand.New(rand.NewPCG(seed, 0)), took: map[string]time.Duration{}}
	namespace(t, productionName, k.ns)
	// Others' objects: a plain one, and some whose names look like ours.
	apply(t, productionName, fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: foreign, namespace: %[1]s}
data: {a: theirs}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings-1-old, namespace: %[1]s, labels: {kubectl-ai.dev/project: %[1]s}}
---
apiVersion: v1
kind: Secret
metadata: {name: kubectl-ai-%[1]s-v1000, namespace: %[1]s}
`, k.ns))
	k.foreign = k.others()
	k.dir = place(t, k.ns, k.bundle())
	k.must("promote")
	k.converged("promote")

	verbs := []string{"promote", "rollback", "promote", "uninstall"}
	faults := []string{"", apiRestarts, "", "", registryDown}
	for i := range points {
		// Each verb meets each fault, but rollback and uninstall ask no registry.
		verb, fault := verbs[i%len(verbs)], faults[i%len(faults)]
		if k.layers = fault == registryDown; k.layers {
			verb = "promote"
		}
		k.point(i, verb, fault)
	}
	t.Logf("seed %d: %d points", seed, points)
}

// bundle changes the bundle: its settings, how many there are, sometimes its
// code.
func (k *killed) bundle() map[string]string {
	k.value++
	files := settled(k.ns, 8+k.random.IntN(5), 0)
	settings := files["base/settings.yaml"]
	files["base/settings.yaml"] = strings.ReplaceAll(settings, `value: "1"`, fmt.Sprintf(`value: "%d"`, k.value))
	if k.value%3 == 0 || k.layers {
		files["src/more.py"] = fmt.Sprintf("x = %d\n", k.value)
	}
	if k.layers {
		files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "codeFormat: configMap", fmt.Sprintf("registry: \"localhost:%s/e2e\"", registryPort), 1)
	}
	k.files = files
	return files
}

func (k *killed) args(verb string) []string {
	args := []string{verb, k.dir, "--to", "production", "--yes"}
	if verb == "uninstall" {
		return args
	}
	if verb == "promote" {
		args = append(args, "--unproven")
	}
	return append(args, "--prune-max", "100", "--timeout", "3m")
}

// point kills one run and proves that the next one ends well. A run that was
// quicker than its kill is followed by another, killed earlier.
func (k *killed) point(i int, verb, fault string) {
	k.t.Helper()
	// A run waits at its end; its writes are before, and so are most kills.
	part := k.random.Float64()
	after := time.Duration(part * part * float64(k.took[verb]))
	for {
		if verb == "promote" {
			write(k.t, k.dir, k.bundle())
		}
		undo := k.fault(fault)
		cmd := exec.Command(plugin, k.args(verb)...)
		said := &lockedBuffer{}
		cmd.Stderr = said
		if err := cmd.Start(); err != nil {
			k.t.Fatal(err)
		}
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		undo()
		if err != nil {
			lines := strings.Split(strings.TrimSpace(said.String()), "\n")
			k.t.Logf("point %d: %s, %v after %v, its last words: %q%s", i, verb, err, after.Round(time.Millisecond), lines[len(lines)-1], fault)
			break
		}
		k.followed(verb)
		after /= 2
	}
	k.followed(verb)
}

// followed runs what comes next, and leaves the bundle promoted.
func (k *killed) followed(verb string) {
	k.t.Helper()
	if verb == "uninstall" {
		k.must("uninstall")
		k.converged("uninstall")
	}
	k.must("promote") // after a rollback too: whatever it did, the bundle comes back
	k.converged("promote")
}

// fault breaks something and returns what mends it.
func (k *killed) fault(name string) func() {
	k.t.Helper()
	docker := func(args ...string) {
		if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
			k.t.Fatalf("docker %v: %v\n%s", args, err, out)
		}
	}
	switch name {
	case apiRestarts:
		// The container is removed as well: the kubelet makes one that it
		// remembers dead wait longer each time.
		const restart = `id=$(crictl ps -q --name kube-apiserver) && crictl stop -t 0 $id && crictl rm -f $id`
		node := productionName + "-control-plane"
		stopped := make(chan struct{})
		go func(after time.Duration) {
			defer close(stopped)
			time.Sleep(after)
			_ = exec.Command("docker", "exec", node, "sh", "-c", restart).Run()
		}(time.Duration(k.random.Int64N(int64(2 * time.Second))))
		return func() {
			<-stopped // a server that is stopped later would still be ready
			eventually(k.t, 3*time.Minute, func() error {
				out, err := tryKubectl(k.t.Context(), productionName, "", "get", "--raw", "/readyz")
				if err == nil && out != "ok" {
					err = fmt.Errorf("it says %s", out)
				}
				return err
			})
		}
	case registryDown:
		registry := "kubectl-ai-registry-" + registryPort
		docker("stop", "-t", "0", registry)
		return func() { docker("start", registry) }
	}
	return func() {}
}

// must runs a verb to its good end, which gives the lock back. One that has
// nothing to do writes nothing, and leaves the lock of a run that died at its
// very last step to the next that has.
func (k *killed) must(verb string) {
	k.t.Helper()
	began := time.Now()
	r := ai(k.t, k.args(verb)...)
	if r.code != 0 {
		k.t.Fatalf("%s after that: exit %d\n%s\n%s", verb, r.code, r.stdout, r.stderr)
	}
	if !strings.Contains(r.stderr, "nothing to do") && exists(k.t, k.ns, "lease/kubectl-ai-"+k.ns) {
		k.t.Fatal("the lock was not given back")
	}
	// How long a run lasts decides when it may be killed; the wait for a dead
	// run's lock is none of it.
	if !strings.Contains(r.stderr, "is alive") && !strings.Contains(r.stderr, "nothing to do") {
		k.took[verb] = time.Since(began)
	}
	k.took["rollback"], k.took["uninstall"] = k.took["promote"], max(k.took["uninstall"], time.Second)
}

// others are the objects of others, with all that the server keeps of them.
func (k *killed) others() string {
	k.t.Helper()
	return kubectl(k.t, productionName, "get", "-n", k.ns, "configmap/foreign", "configmap/settings-1-old", "secret/kubectl-ai-"+k.ns+"-v1000", "--show-managed-fields", "-o", "json")
}

// converged proves what has to hold after a run that ended well.
func (k *killed) converged(verb string) {
	k.t.Helper()
	if now := k.others(); now != k.foreign {
		k.t.Fatalf("objects of others were touched:\n%s\nwere\n%s", now, k.foreign)
	}
	members := strings.Fields(kubectl(k.t, productionName, "get", "configmaps,secrets,deployments,services", "-n", k.ns, "-l", "applyset.kubernetes.io/part-of", "-o", "name"))
	records := strings.Fields(kubectl(k.t, productionName, "get", "secrets,configmaps", "-n", k.ns, "-l", "kubectl-ai.dev/project="+k.ns+",!applyset.kubernetes.io/part-of", "-o", "name"))
	records = slices.DeleteFunc(records, func(name string) bool { return name == "configmap/settings-1-old" })
	if verb == "uninstall" {
		if len(members)+len(records) > 0 {
			k.t.Fatalf("left are %v and %v", members, records)
		}
		return
	}
	// Nothing with our label that the inventory does not know.
	known := inventory(k.t, k.ns)
	for _, member := range members {
		kind, name, _ := strings.Cut(member, "/")
		kind, _, _ = strings.Cut(kind, ".")
		if !known[kind+"/"+name] {
			k.t.Fatalf("%s is not in the inventory %v", member, known)
		}
	}
	if len(members) < 10 {
		k.t.Fatalf("the release has only %v", members)
	}
	// The objects are those of the bundle.
	want := strings.Count(k.files["base/settings.yaml"], "kind: ConfigMap")
	values := strings.Fields(kubectl(k.t, productionName, "get", "configmaps", "-n", k.ns, "-l", "applyset.kubernetes.io/part-of", "-o", "jsonpath={.items[*].data.value}"))
	if len(values) != want || slices.ContainsFunc(values, func(v string) bool { return v != fmt.Sprint(k.value) }) {
		k.t.Fatalf("the settings are %v, want %d times %d", values, want, k.value)
	}
	// Every release of the history is a whole one, and the last is current.
	h := history(k.t, k.dir)
	last := h.Items[len(h.Items)-1]
	if h.Current != last.Revision || last.TreeDigest != digestHere(k.t, filepath.Join(k.dir, "src")) {
		k.t.Fatalf("history = %+v", h)
	}
	for _, item := range h.Items {
		if item.Status != "deployed" && item.Status != "failed" {
			k.t.Fatalf("history holds a half release: %+v", item)
		}
		if shown := must(k.t, "show", k.dir, "--to", "production", "--release", fmt.Sprint(item.Revision), "-o", "name").stdout; !strings.Contains(shown, "Deployment/app") {
			k.t.Fatalf("release %d holds only\n%s", item.Revision, shown)
		}
	}
	if len(records) != len(h.Items)+1 {
		k.t.Fatalf("%d releases are kept in %v", len(h.Items), records)
	}
}

// inventory reads what the release's ConfigMap lists, as kind/name in lower
// case.
func inventory(t *testing.T, project string) map[string]bool {
	t.Helper()
	text := kubectl(t, productionName, "get", "configmap", "kubectl-ai-"+project, "-n", project, "-o", `jsonpath={.binaryData.inventory\.json\.zst}`)
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	raw, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct{ Kind, Name string }
	if err := json.Unmarshal(raw, &entries); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, e := range entries {
		out[strings.ToLower(e.Kind)+"/"+e.Name] = true
	}
	return out
}
