//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// device packs the code of a bundle and a model for a device, unpacks the
// archive in another place as one would there, starts it by its own run.sh, and
// returns what it answers to a request of the V1 predict protocol.
func device(t *testing.T, dir, environment, model, request string) string {
	t.Helper()
	dist, opt := t.TempDir(), t.TempDir()
	packed := decodeRun[struct{ Name, Archive, TreeDigest string }](t, must(t, "edge", dir, "-e", environment, "--model", model, "--into", dist, "-o", "json"))
	if here := strings.TrimSpace(must(t, "digest", dir).stdout); packed.TreeDigest != here {
		t.Errorf("the archive holds code %s, the bundle %s", packed.TreeDigest, here)
	}
	at := filepath.Join(opt, packed.Name)
	for _, command := range [][]string{{"tar", "-xzf", packed.Archive, "-C", opt}, {"sh", "-c", `cd "$1" && sha256sum --check --quiet SHA256SUMS`, "-", at}} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	run := exec.CommandContext(t.Context(), filepath.Join(at, "run.sh"))
	run.Env = append(os.Environ(), "PORT=0") // any that is free
	said, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	run.Stderr = t.Output()
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = run.Process.Kill(); _ = run.Wait() }()
	port := 0
	for lines := bufio.NewScanner(said); port == 0; {
		if !lines.Scan() {
			t.Fatalf("run.sh ended before it served: %v", lines.Err())
		}
		_, _ = fmt.Sscanf(lines.Text(), "model model on port %d", &port)
	}
	response, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/models/model:predict", port), "application/json", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	if _ = response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the device answers %s: %s, %v", response.Status, answer, err)
	}
	return string(answer)
}
