//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// operations is how many random operations are done on the watched folder.
func operations() int {
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		return 10_000
	}
	return 500
}

// names that editors, people and tools give; none that a shell script could
// not list line by line, because a shell script is the judge here. No Python:
// what would not compile is not delivered.
var names = []string{"a.txt", "b.cfg", "with space", "quo\"te", "it's", "café.txt", "cafe\u0301.txt", "$(reboot)", "-rf", "日本語", "#hash", "x;y", "[a]", "d1", "d2", "d3"}

// TestRanksHoldWhatRandomOperationsLeave is the engine's own proof, once more
// through a real cluster: after every hundred operations find, sort and
// sha256sum see the same in every rank as on this machine.
func TestRanksHoldWhatRandomOperationsLeave(t *testing.T) {
	const ns, seed = "random", 42
	r := rand.New(rand.NewPCG(seed, 1))
	dir := bundle(t, sandboxName, ns, job(ns, 2, ""))
	src := filepath.Join(dir, "src")
	dev := startDev(t, dir)
	dev.next(2, 3*time.Minute)
	within := func() string { // a path below pkg, some levels deep
		p := "pkg"
		for range 1 + r.IntN(3) {
			p = filepath.Join(p, names[r.IntN(len(names))])
		}
		return filepath.Join(src, p)
	}
	put := func(p, text string, mode os.FileMode) {
		if os.MkdirAll(filepath.Dir(p), 0o755) == nil && os.WriteFile(p, []byte(text), mode) == nil {
			_ = os.Chmod(p, mode)
		}
	}
	do := []func(i int){
		func(i int) { put(within(), fmt.Sprintln("x =", i), 0o644) },
		func(i int) { put(within(), fmt.Sprintln("#!/bin/sh", i), 0o755) },
		func(int) { _ = os.Rename(within(), within()) },
		func(int) { _ = os.RemoveAll(within()) },
		func(int) { p := within(); _ = os.RemoveAll(p); _ = os.Symlink(names[r.IntN(len(names))], p) },
		func(int) { p := within(); _ = os.RemoveAll(p); _ = os.Symlink("/etc", p) },
		func(i int) { p := within(); _ = os.RemoveAll(p); put(p, fmt.Sprintln("again", i), 0o644) },
		func(int) { // the same size, the time put back
			p := within()
			if info, err := os.Lstat(p); err == nil && info.Mode().IsRegular() {
				if raw, err := os.ReadFile(p); err == nil && len(raw) > 0 {
					raw[0] ^= 1
					_ = os.WriteFile(p, raw, 0o644)
					_ = os.Chtimes(p, info.ModTime(), info.ModTime())
				}
			}
		},
		func(int) {
			p := within()
			if info, err := os.Lstat(p); err == nil && info.Mode().IsRegular() {
				_ = os.Chmod(p, info.Mode()^0o111)
			}
		},
	}
	for i := 1; i <= operations(); i++ {
		do[r.IntN(len(do))](i)
		if i%100 != 0 {
			continue
		}
		// A save of its own, so that there is something to wait for.
		save(t, filepath.Join(src, "generation.txt"), fmt.Sprintf("generation %d\n", i))
		want := digestHere(t, src)
		deadline := time.Now().Add(2 * time.Minute)
		for done := []int{}; len(done) < 2; {
			for rank, got := range dev.next(1, time.Until(deadline)) {
				if got.TreeDigest == want && !slices.Contains(done, rank) {
					done = append(done, rank)
				}
			}
		}
		for rank, pod := range pods(t, sandboxName, ns, "app="+ns) {
			if got := digestIn(t, sandboxName, ns, pod, "/app/.kubectl-ai/current/"); got != want {
				t.Fatalf("seed %d, operation %d: rank %s holds %s, this machine %s", seed, i, rank, got, want)
			}
		}
	}
}
