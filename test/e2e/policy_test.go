//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listening prints, at its start and at each HUP, the config below the mount
// and the one in its working directory, and writes it to an output.
const listening = `import os, signal, time
def tell(what):
    text = open("/app/configs/run.yaml").read().strip()
    print(what, text, open("configs/run.yaml").read().strip(), os.environ["RANK"], flush=True)
    os.makedirs("out", exist_ok=True)
    with open("out/config.tmp", "w") as f:
        f.write(text)
    os.replace("out/config.tmp", "out/config")
signal.signal(signal.SIGHUP, lambda *_: tell("again"))
tell("start")
while True:
    time.sleep(1)
`

func TestDevLeavesProcessesAsPoliciesSay(t *testing.T) {
	const ns = "policies"
	files := job(ns, 2, "")
	files["src/train.py"], files["src/configs/run.yaml"] = listening, "lr 1\n"
	files["kubectl-ai.yaml"] += `reload:
  policies:
  - {paths: ["*.md"], action: none}
  - {paths: [configs/], action: signal, signal: HUP}
  - {paths: [requirements.txt], action: image}
`
	dir := bundle(t, sandboxName, ns, files)
	dev := startDev(t, dir)
	first := dev.next(2, 3*time.Minute)
	said := func(format string, args ...any) {
		t.Helper()
		want := fmt.Sprintf(format, args...)
		eventually(t, 30*time.Second, func() error {
			if !strings.Contains(dev.stderr.String(), want) {
				return fmt.Errorf("nobody said %q", want)
			}
			return nil
		})
	}
	unchanged := func(got map[int]receipt, process string) {
		t.Helper()
		for rank, r := range got {
			if r.PID != first[rank].PID || r.Process != process || r.StartedGeneration != first[rank].Generation || r.StartedDigest != first[rank].TreeDigest {
				t.Errorf("rank %d: %+v, first %+v", rank, r, first[rank])
			}
			if r.TreeDigest != strings.TrimSpace(must(t, "digest", dir).stdout) {
				t.Errorf("rank %d holds %s", rank, r.TreeDigest)
			}
		}
	}
	for rank := range 2 {
		said("start lr 1 lr 1 %d\n", rank)
	}

	save(t, filepath.Join(dir, "src/README.md"), "words\n")
	unchanged(dev.next(2, 30*time.Second), "unchanged")
	said("in place on 2/2 ranks, started in gen %d", first[0].Generation)

	save(t, filepath.Join(dir, "src/configs/run.yaml"), "lr 2\n")
	unchanged(dev.next(2, 30*time.Second), "signalled")
	said("signalled HUP on 2/2 ranks, started in gen %d", first[0].Generation)
	for rank := range 2 {
		said("again lr 2 lr 1 %d\n", rank)
	}

	save(t, filepath.Join(dir, "src/requirements.txt"), "torch\n")
	unchanged(dev.next(2, 30*time.Second), "unchanged")
	said("requirements.txt changed, which belongs in the image")

	t.Run("what the process wrote meanwhile can be pulled", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "here")
		for i, state := range []string{"pulled", "same"} {
			r := must(t, "pull", "--dir", dir, "--rank", "1", "--to", to, "-o", "json")
			var report struct {
				Items []struct{ Path, State string }
			}
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
				t.Fatal(err)
			}
			if len(report.Items) != 1 || report.Items[0].Path != "out/config" || report.Items[0].State != state {
				t.Errorf("time %d: %+v", i, report.Items)
			}
		}
		if raw, err := os.ReadFile(filepath.Join(to, "out/config")); err != nil || string(raw) != "lr 2" {
			t.Errorf("%q, %v", raw, err)
		}
		if r := ai(t, "pull", "--dir", dir, "--to", filepath.Join(dir, "src/out")); r.code != 2 || !strings.Contains(r.stderr, "part of the code") {
			t.Errorf("into the code: exit %d: %s", r.code, r.stderr)
		}
	})

	save(t, filepath.Join(dir, "src/train.py"), listening+"\n")
	for rank, r := range dev.next(2, 30*time.Second) {
		if r.PID == first[rank].PID || r.Process != "restarted" || r.StartedDigest != r.TreeDigest {
			t.Errorf("rank %d: %+v", rank, r)
		}
	}
	for rank := range 2 {
		said("start lr 2 lr 2 %d\n", rank)
	}
}
