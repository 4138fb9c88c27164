//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// The sample learns: on digits that no rank trained on, and the same in one
// process as its authors saw it.
func TestDigitsReachesItsAccuracy(t *testing.T) {
	const floor = 0.95
	out, err := exec.Command("docker", "run", "--rm", "-e", "OUT_DIR=/tmp/out", "-w", "/app",
		"-v", filepath.Join(root, "samples/digits/src")+":/app:ro", pythonImage, "python3", "train.py").CombinedOutput()
	if err != nil {
		t.Fatalf("train: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`accuracy ([0-9.]+)`).FindAllSubmatch(out, -1)
	if len(found) == 0 {
		t.Fatalf("no accuracy is reported:\n%s", out)
	}
	accuracy, err := strconv.ParseFloat(string(found[len(found)-1][1]), 64)
	if err != nil || accuracy < floor {
		t.Errorf("accuracy %v, want at least %v", accuracy, floor)
	}
}
