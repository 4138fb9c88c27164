//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const torch = "kubectl-ai/bench-torch:1"

// TestTorch measures a save of a program that imports PyTorch: with the fork
// server, which has it imported already, beside a cold start.
func TestTorch(t *testing.T) {
	if err := exec.Command("docker", "image", "inspect", torch).Run(); err != nil {
		t.Fatalf("no image %s here: test/host/host.sh torch makes it: %v", torch, err)
	}
	b := newBench(t)
	b.run("sandbox", "load", torch, "--name", sandbox)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("import torch; medians / p95; load average %s", load)
	cold := b.torch(filepath.Join(filepath.Dir(b.ours), "cold"), "")
	forked := b.torch(filepath.Join(filepath.Dir(b.ours), "forked"), "reload: {preload: [torch]}\n")
	ratio := ms(quantile(cold, 0.5)) / ms(quantile(forked, 0.5))
	fmt.Printf("%-30s %-22s n %3d  %16s ms\n", "save → torch is imported", "cold", len(cold), spread(cold))
	fmt.Printf("%-30s %-22s n %3d  %16s ms  1/%.1f of a cold start, 1/8 wanted\n", "", "fork server", len(forked), spread(forked), ratio)
	if os.Getenv("KUBECTL_AI_BENCH_GATE") != "" && ratio < 8 {
		t.Errorf("the fork server takes 1/%.1f of a cold start", ratio)
	}
}

// torch saves again and again, and returns how long it takes from the save
// until the new process has its import behind it.
func (b *bench) torch(dir, reload string) []time.Duration {
	b.t.Helper()
	b.bundle(dir, torch, 1)
	project, err := os.ReadFile(filepath.Join(dir, "kubectl-ai.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(dir, "kubectl-ai.yaml", string(project)+reload)
	src := filepath.Join(dir, "src")
	b.write(src, "generation.txt", "generation 0\n")
	b.write(src, "train.py", "import time\nimport torch\nprint(open('generation.txt').read().strip(), torch.zeros(3).sum().item(), flush=True)\nwhile True: time.sleep(1000)\n")
	d := b.startDev(dir)
	d.said.await(b.t, "the first process", endsWith("generation 0 0.0"))
	var took []time.Duration
	for i := 1; i <= max(10, rounds()/5); i++ {
		text := fmt.Sprintf("generation %d", i)
		start := time.Now()
		b.write(src, "generation.txt", text+"\n")
		took = append(took, d.said.await(b.t, text, endsWith(text+" 0.0")).at.Sub(start))
	}
	d.stop()
	return took
}
