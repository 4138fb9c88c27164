//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/test/browser"
)

// training reports a loss that falls, for as long as the test needs.
const training = `import json, math, os, time
factor = 1
for step in range(1, int(os.environ.get("STEPS", "1200"))):
    print(json.dumps({"metrics": [{"name": "loss", "value": round(factor * math.exp(-step / 40), 4)}], "progressPercentage": step / 12}), flush=True)
    time.sleep(0.25)
raise SystemExit(3)
`

// startDashboard runs the command and returns the address that it prints. It
// ends with the test, by Ctrl-C, and cleanly.
func startDashboard(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(plugin, append([]string{"dashboard"}, args...)...)
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "http://127.0.0.1:") {
		_ = cmd.Process.Kill()
		t.Fatalf("it printed %q; %s", lines.Text(), stderr)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				t.Errorf("Ctrl-C: exit %d\n%s", code, stderr)
			}
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("it did not end within 20 s of Ctrl-C\n%s", stderr)
		}
	})
	return lines.Text()
}

func TestTheDashboardShowsWhatHappensInTheCluster(t *testing.T) {
	const name = "dash-page"
	dir := runBundle(t, name)
	source := filepath.Join(dir, "src", "train.py")
	save(t, source, training)
	save(t, filepath.Join(dir, "base", "kustomization.yaml"), "resources: [train.yaml, service.yaml]\n") // dev works on no CronJob
	url := startDashboard(t, dir)

	// Without the token nothing is told.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url[:strings.Index(url, "?")]+"state", nil)
	if err != nil {
		t.Fatal(err)
	}
	refused, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = refused.Body.Close()
	if refused.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %s", refused.Status)
	}

	p := browser.Open(t)
	p.See(1280, "light")
	if status := p.Go(url); status != 200 {
		t.Fatalf("the page: %d", status)
	}
	p.Until(`document.getElementById("link").textContent === "Live" && document.querySelectorAll(".gpu").length > 0`)

	// A run appears, and its curve moves.
	id := strings.TrimPrefix(strings.TrimSpace(must(t, "run", dir, "--ranks", "2", "--gpus", "1", "-o", "name").stdout), "run/")
	row := fmt.Sprintf(`document.getElementById("run-%s")`, id)
	p.Until(row + `.querySelector(".phase").textContent === "Running"`)
	p.Until(row + `.querySelector(".spark path").getAttribute("d").split("L").length > 3`)
	before := browser.Value[string](p, row+`.querySelector(".spark path").getAttribute("d")`)
	p.Until(row + fmt.Sprintf(`.querySelector(".spark path").getAttribute("d") !== %q`, before))
	if browser.Value[string](p, row+`.getAttribute("aria-expanded")`) != "true" {
		p.Click("#run-" + id)
	}
	p.Until(fmt.Sprintf(`document.querySelectorAll("#run-%s-body .ranks tbody tr").length === 2`, id))

	// status -w tells the same in a terminal, and how the run ended.
	if r := ai(t, "status", "-w", dir, "--run", id, "--timeout", "15s"); r.code != 124 || !strings.Contains(r.stdout, "run "+id+": Running") || !strings.Contains(r.stdout, "loss ") {
		t.Errorf("exit %d, want 124\n%s%s", r.code, r.stdout, r.stderr)
	}
	failing := strings.TrimPrefix(strings.TrimSpace(must(t, "run", dir, "--ranks", "2", "--set", "STEPS=3", "-o", "name").stdout), "run/")
	if r := ai(t, "status", "-w", dir, "--run", failing, "--timeout", "1m"); r.code != 1 || !strings.Contains(r.stdout, "run "+failing+": Failed") || !strings.Contains(r.stderr, "RUN-003") {
		t.Errorf("exit %d, want 1\n%s%s", r.code, r.stdout, r.stderr)
	}

	// A GPU that fails turns red, and says why.
	node, gpu := sandboxName+"-control-plane", `document.querySelector('[data-key="`+sandboxName+`-control-plane"] [data-gpu="7"]')`
	t.Cleanup(func() {
		_ = exec.CommandContext(context.Background(), plugin, "sandbox", "gpu", "heal", "--name", sandboxName, "--node", node, "--gpu", "7").Run()
	})
	must(t, "sandbox", "gpu", "fail", "--name", sandboxName, "--node", node, "--gpu", "7", "--xid", "79")
	p.Until(gpu + `.classList.contains("failed") && ` + gpu + `.innerText.includes("Failed") && ` + gpu + `.innerText.includes("XID 79")`)
	must(t, "sandbox", "gpu", "heal", "--name", sandboxName, "--node", node, "--gpu", "7")
	p.Until(`!` + gpu + `.classList.contains("failed")`)
	must(t, "runs", "delete", id, "--dir", dir, "--yes")
	p.Until(row + ` === null`)

	// A save is a generation whose difference opens.
	d := startDev(t, dir)
	d.next(2, 3*time.Minute)
	save(t, source, strings.Replace(training, "factor = 1", "factor = 2", 1))
	d.next(2, time.Minute)
	p.Until(`document.querySelectorAll("#generation-list details").length >= 2`)
	p.Click("#generation-list summary")
	p.Until(`[...document.querySelectorAll(".diff .add")].some((e) => e.textContent === "+factor = 2")`)
	p.Until(`document.querySelector('[data-run="Job/train"] .sub').textContent.startsWith("kubectl ai dev")`)
	p.Until(`document.querySelector("#release-list .empty") !== null && document.querySelector("#drift-list .empty") !== null`)
	for _, width := range []int64{1280, 390} {
		p.See(width, "dark")
		p.Judge(fmt.Sprint(width))
		p.Shot(fmt.Sprintf("cluster-%d", width))
	}
}
