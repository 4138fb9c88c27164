//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// runRecord is what `runs show -o json` prints, as far as tests look at it.
type runRecord struct {
	ID         string            `json:"id"`
	Matrix     string            `json:"matrix"`
	Phase      string            `json:"phase"`
	Reason     string            `json:"reason"`
	Job        string            `json:"job"`
	Ranks      int               `json:"ranks"`
	CodeDigest string            `json:"codeDigest"`
	Parameters map[string]string `json:"parameters"`
	Started    time.Time         `json:"started"`
	Finished   time.Time         `json:"finished"`
	Progress   float64           `json:"progress"`
	Metrics    []struct {
		Name    string            `json:"name"`
		Last    json.RawMessage   `json:"last"`
		Best    float64           `json:"best"`
		Count   int               `json:"count"`
		History []json.RawMessage `json:"history"`
	} `json:"metrics"`
	Model     *struct{ Digest string }     `json:"model"`
	Malformed *struct{ Lines int }         `json:"malformed"`
	Images    []struct{ Image, ID string } `json:"images"`
	Exits     []struct{ Rank, Code int }   `json:"exits"`
	Report    *struct{ Refusals []string } `json:"report"`
}

// runBundle is the bundle of testdata/run under a name of its own.
func runBundle(t *testing.T, name string, edit ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	copyRunBundle(t, dir, name, edit...)
	namespace(t, sandboxName, name)
	return dir
}

// copyRunBundle copies testdata/run into a folder.
func copyRunBundle(t *testing.T, dir, name string, edit ...string) {
	t.Helper()
	names := strings.NewReplacer(append([]string{"NAMESPACE", name, "SANDBOX", "kind-" + sandboxName, "PRODUCTION", "kind-" + productionName}, edit...)...)
	source := filepath.Join(root, "test/e2e/testdata/run")
	err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(source, path)
		write(t, dir, map[string]string{relative: names.Replace(string(content))})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func decodeRun[T any](t *testing.T, r result) T {
	t.Helper()
	var out T
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("%v: %s\n%s", err, r.stdout, r.stderr)
	}
	return out
}

// gpusFree is what status says is free.
func gpusFree(t *testing.T, dir string) string {
	t.Helper()
	report := decodeRun[struct {
		Resources []struct{ Name, Free, Runs, Allocatable string }
	}](t, must(t, "status", dir, "-o", "json"))
	for _, r := range report.Resources {
		if r.Name == "nvidia.com/gpu" {
			return r.Free
		}
	}
	t.Fatalf("status knows no GPU: %+v", report)
	return ""
}

// gpusGivenBack waits until no pod with GPUs is on its way out, itself or with
// its namespace: what tests before held is free then.
func gpusGivenBack(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		going := map[string]bool{}
		for _, ns := range strings.Fields(kubectl(t, sandboxName, "get", "namespaces", "-o", `jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.metadata.name} {end}`)) {
			going[ns] = true
		}
		all := kubectl(t, sandboxName, "get", "pods", "-A", "-o", `jsonpath={range .items[*]}{.metadata.namespace},{.metadata.name},{.metadata.deletionTimestamp},{.spec.containers[*].resources.limits.nvidia\.com/gpu}{"\n"}{end}`)
		for line := range strings.Lines(all) {
			if f := strings.Split(strings.TrimSpace(line), ","); len(f) == 4 && f[3] != "" && (f[2] != "" || going[f[0]]) {
				return fmt.Errorf("pod %s/%s still has %s GPUs", f[0], f[1], f[3])
			}
		}
		return nil
	})
}

func TestARunIsRememberedWithWhatItSaid(t *testing.T) {
	dir := runBundle(t, "run-record")
	r := must(t, "run", dir, "--set", "lr=0.2", "--ranks", "3", "--wait", "-o", "json")
	got := decodeRun[runRecord](t, r)
	if got.Phase != "Complete" || got.Ranks != 3 || got.Parameters["lr"] != "0.2" || got.CodeDigest != digestHere(t, filepath.Join(dir, "src")) {
		t.Errorf("%+v", got)
	}
	if len(got.Metrics) != 1 || string(got.Metrics[0].Last) != "0.85" || got.Metrics[0].Count != 2 || got.Progress != 100 {
		t.Errorf("metrics: %+v", got.Metrics)
	}
	if got.Model == nil || got.Malformed == nil || got.Malformed.Lines != 1 || len(got.Images) != 1 || got.Images[0].ID == "" {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(r.stderr, "rank 0 of 3 contract {\"schema\"") {
		t.Errorf("WORLD_SIZE or the data contract is another: %s", r.stderr)
	}
	// The Job goes, the record stays.
	kubectl(t, sandboxName, "delete", "job", "-n", "run-record", got.Job)
	again := decodeRun[runRecord](t, must(t, "runs", "show", got.ID, "--dir", dir, "-o", "json"))
	if again.Phase != "Complete" || again.Metrics[0].Best != 0.85 {
		t.Errorf("without its Job: %+v", again)
	}
	if out := must(t, "__complete", "runs", "show", "--dir", dir, "").stdout; !strings.Contains(out, got.ID) {
		t.Errorf("its ID is not completed: %s", out)
	}
	must(t, "runs", "delete", got.ID, "--dir", dir, "--yes")
	if r := ai(t, "runs", "show", got.ID, "--dir", dir); r.code != 2 || !strings.Contains(r.stderr, "RUN-001") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	eventually(t, 30*time.Second, func() error {
		if left := strings.TrimSpace(kubectl(t, sandboxName, "get", "configmaps,jobs,pods", "-n", "run-record", "-o", "name")); left != "configmap/kube-root-ca.crt" {
			return fmt.Errorf("left behind: %s", left)
		}
		return nil
	})
}

func TestAMatrixFindsTheBest(t *testing.T) {
	dir := runBundle(t, "run-matrix")
	r := must(t, "run", dir, "--ranks", "1", "--matrix", "lr=0.1,0.01", "--matrix", "depth=2,3", "--max-parallel", "2", "-o", "json")
	list := decodeRun[struct {
		Matrix, Metric, Best string
		Items                []runRecord
	}](t, r)
	if len(list.Items) != 4 || list.Metric != "accuracy" {
		t.Fatalf("%+v", list)
	}
	atOnce := 0
	for _, a := range list.Items {
		if want := a.Parameters["lr"] == "0.01" && a.Parameters["depth"] == "3"; want != (a.ID == list.Best) || a.Phase != "Complete" || a.Matrix != list.Matrix {
			t.Errorf("best is %s: %+v", list.Best, a)
		}
		n := 0
		for _, b := range list.Items {
			if !b.Started.After(a.Started) && b.Finished.After(a.Started) {
				n++
			}
		}
		atOnce = max(atOnce, n)
	}
	if atOnce > 2 {
		t.Errorf("%d ran at once", atOnce)
	}
	table := must(t, "runs", "compare", list.Matrix, "--dir", dir).stdout
	if lines := strings.Split(table, "\n"); !strings.Contains(lines[0], "depth  lr") || !strings.Contains(table, "best  "+list.Best) {
		t.Errorf("%s", table)
	}
}

func TestGangsNeverHalfPlaceEachOther(t *testing.T) {
	const ns = "run-gangs"
	dir := runBundle(t, ns)
	gpusGivenBack(t)
	free, err := strconv.Atoi(gpusFree(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	ranks := free/2 + 1
	var group sync.WaitGroup
	results := make([]result, 2)
	for i := range results {
		group.Go(func() {
			results[i] = ai(t, "run", dir, "--ranks", strconv.Itoa(ranks), "--gpus", "1", "--wait", "-o", "json")
		})
	}
	// Meanwhile, whenever somebody looks: at most one of them has nodes.
	stop := make(chan struct{})
	var watched sync.WaitGroup
	looks := 0
	watched.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
			out, err := tryKubectl(t.Context(), sandboxName, "", "get", "pods", "-n", ns, "-o", `jsonpath={range .items[?(@.spec.nodeName)]}{.metadata.labels.kubectl-ai\.dev/run} {.status.phase}{"\n"}{end}`)
			if err != nil {
				continue
			}
			looks++
			holding := map[string]bool{}
			for _, line := range strings.Split(out, "\n") {
				if f := strings.Fields(line); len(f) == 2 && (f[1] == "Pending" || f[1] == "Running") {
					holding[f[0]] = true
				}
			}
			if len(holding) > 1 {
				t.Errorf("both hold nodes: %s", out)
			}
		}
	})
	group.Wait()
	close(stop)
	watched.Wait()
	var both []runRecord
	for _, r := range results {
		if r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		both = append(both, decodeRun[runRecord](t, r))
	}
	if both[0].Finished.After(both[1].Started) && both[1].Finished.After(both[0].Started) {
		t.Errorf("%d ranks of each of %d GPUs ran at the same time: %+v", ranks, free, both)
	}
	if looks == 0 {
		t.Error("nobody looked")
	}
}

func TestGPUsComeBackAfterRuns(t *testing.T) {
	dir := runBundle(t, "run-gpus")
	runs := 5
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		runs = 50
	}
	gpusGivenBack(t)
	before := gpusFree(t, dir)
	for range runs {
		must(t, "run", dir, "--ranks", "1", "--gpus", "2", "--set", "SECONDS=0", "--wait")
	}
	if after := gpusFree(t, dir); after != before {
		t.Errorf("%s free before, %s after %d runs", before, after, runs)
	}
	// One that asks for more than there is waits, and is explained.
	r := must(t, "run", dir, "--gpus", "40", "-o", "name")
	id := strings.TrimPrefix(strings.TrimSpace(r.stdout), "run/")
	why := must(t, "why", id, "--dir", dir).stdout
	for _, want := range []string{"Queued", "2 ranks want", "40 nvidia.com/gpu each", "next: ask for less"} {
		if !strings.Contains(why, want) {
			t.Errorf("no %q in: %s", want, why)
		}
	}
	if n := strings.Count(why, "\n"); n > 24 {
		t.Errorf("%d lines: %s", n, why)
	}
	// A resource that no node has is named, and so are those that there are.
	save(t, filepath.Join(dir, "base/train.yaml"), strings.Replace(read(t, filepath.Join(dir, "base/train.yaml")), "memory: 128Mi}", "memory: 128Mi, nvidia.com/gpus: 1}", 1))
	r = must(t, "run", dir, "-o", "name")
	why = must(t, "why", strings.TrimPrefix(strings.TrimSpace(r.stdout), "run/"), "--dir", dir).stdout
	if !strings.Contains(why, "no node has the resource nvidia.com/gpus") || !strings.Contains(why, "nodes that have it: nvidia.com/gpu") {
		t.Errorf("%s", why)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAFailedRunIsExplained(t *testing.T) {
	dir := runBundle(t, "run-failed")
	r := ai(t, "run", dir, "--set", "lr=high", "--wait", "-o", "json")
	if r.code != 1 || !strings.Contains(r.stderr, "RUN-003") {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	got := decodeRun[runRecord](t, r)
	if got.Phase != "Failed" || len(got.Exits) == 0 || got.Exits[0].Code != 1 {
		t.Errorf("%+v", got)
	}
	if why := must(t, "why", got.ID, "--dir", dir).stdout; !strings.Contains(why, "exit 1") || !strings.Contains(why, "| ValueError: could not convert string to float: 'high'") {
		t.Errorf("%s", why)
	}
	// A command line that is wrong makes nothing.
	if r := ai(t, "run", dir, "--stage", "data"); r.code != 2 || !strings.Contains(r.stderr, "RUN-002") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if r := ai(t, "run", dir, "--matrix", "lr=1,1"); r.code != 2 {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func TestCtrlCDetachesAndTheRecordIsCompletedLater(t *testing.T) {
	dir := runBundle(t, "run-detach")
	cmd := exec.Command(plugin, "run", dir, "--set", "SECONDS=20", "--wait")
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if !strings.Contains(out.String(), "contract") {
			return fmt.Errorf("rank 0 has said nothing: %s", out)
		}
		return nil
	})
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "kubectl ai runs wait") {
		t.Errorf("exit %d: %s", code, out)
	}
	var list struct{ Items []runRecord }
	eventually(t, time.Minute, func() error {
		list = decodeRun[struct{ Items []runRecord }](t, must(t, "runs", "list", dir, "-o", "json"))
		if len(list.Items) != 1 || list.Items[0].Phase != "Complete" {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	if m := list.Items[0].Metrics; len(m) != 1 || m[0].Count != 2 {
		t.Errorf("what it said is told twice or not at all: %+v", m)
	}
}

func TestValidationIsAGate(t *testing.T) {
	const ns = "run-validate"
	dir := runBundle(t, ns)
	namespace(t, productionName, ns)
	promote := func() result { return ai(t, "promote", dir, "--to", "production", "--yes", "--unproven", "-o", "json") }
	nothing := func() {
		t.Helper()
		if left := strings.TrimSpace(kubectl(t, productionName, "get", "jobs,cronjobs,services,secrets", "-n", ns, "-o", "name")); left != "" {
			t.Errorf("something was applied: %s", left)
		}
	}
	if r := promote(); r.code != 5 || !strings.Contains(r.stderr, "GATE-001") || !strings.Contains(r.stderr, "never validated") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	nothing()
	t.Run("refused", func(t *testing.T) {
		for _, c := range []struct{ name, set, says string }{
			{"one sample on both sides", "overlap=1", "1 sample is in the training data too"},
			{"below the threshold", "accuracy=0.5", "accuracy is 0.5; at least 0.9 is wanted"},
			{"NaN", "accuracy=NaN", "accuracy is NaN"},
			{"never reported", "accuracy=", "accuracy was never reported"},
			{"a malformed line", "accuracy=high", "accuracy was never reported"},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := ai(t, "validate", dir, "--set", c.set, "-o", "json")
				report := decodeRun[struct {
					Passed   bool
					Refusals []string
					Code     string
				}](t, r)
				if r.code != 5 || !strings.Contains(r.stderr, "RUN-005") || report.Passed || !strings.Contains(strings.Join(report.Refusals, "\n"), c.says) {
					t.Errorf("exit %d: %+v\n%s", r.code, report, r.stderr)
				}
				if c.set == "accuracy=high" && !strings.Contains(strings.Join(report.Refusals, "\n"), "1 lines that were meant to report") {
					t.Errorf("nothing is said of the line: %+v", report)
				}
			})
		}
	})
	if r := promote(); r.code != 5 || !strings.Contains(r.stderr, "refused: ") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	nothing()
	must(t, "validate", dir)
	// Another code is not the one that was validated.
	save(t, filepath.Join(dir, "src/more.py"), "# more\n")
	if r := promote(); r.code != 5 || !strings.Contains(r.stderr, "never validated") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	nothing()
	_ = os.Remove(filepath.Join(dir, "src/more.py"))
	// What ran well is proven by it.
	r := ai(t, "promote", dir, "--to", "production", "--yes", "-o", "json")
	release := decodeRun[struct {
		Evidence struct{ Run, Unproven string }
		Gates    []struct {
			Kind       string
			Passed     bool
			Validation struct{ Run, Model string }
		}
	}](t, r)
	if !strings.Contains(r.stderr, " ran as run ") || release.Evidence.Run == "" || release.Evidence.Unproven != "" {
		t.Errorf("the release is founded on %+v\n%s", release.Evidence, r.stderr)
	}
	if out := must(t, "show", dir, "--to", "production").stdout; !strings.Contains(out, "run "+release.Evidence.Run+" in ") {
		t.Errorf("show does not say what proves it:\n%s", out)
	}
	if r.code != 0 || len(release.Gates) != 1 || !release.Gates[0].Passed || release.Gates[0].Validation.Run == "" || release.Gates[0].Validation.Model == "" {
		t.Errorf("exit %d: %+v\n%s", r.code, release, r.stderr)
	}
}
