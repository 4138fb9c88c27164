//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cuts is how many times the connection to a rank is cut.
func cuts() int {
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		return 100
	}
	return 10
}

// node runs a script in the node that a pod runs on, where all processes of
// its containers are to be seen.
func node(t *testing.T, namespace, pod, script string) string {
	t.Helper()
	name := strings.TrimSpace(kubectl(t, sandboxName, "get", "pod", "-n", namespace, pod, "-o", "jsonpath={.spec.nodeName}"))
	out, err := exec.Command("docker", "exec", name, "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// TestWhateverDiesTheRanksRunTheLastSave ends one part after the other, and
// after each saves and waits until both ranks run that tree, whole.
func TestWhateverDiesTheRanksRunTheLastSave(t *testing.T) {
	const ns = "chaos"
	whole := t
	dir := bundle(t, sandboxName, ns, job(ns, 2, ""))
	src := filepath.Join(dir, "src")
	dev := startDev(t, dir)
	dev.next(2, 3*time.Minute)
	generation := 0
	// converge saves and waits until every rank has given a receipt for
	// exactly the tree on this machine, and has it on disk.
	converge := func(t *testing.T, within time.Duration) {
		t.Helper()
		generation++
		save(t, filepath.Join(src, "generation.txt"), fmt.Sprintf("generation %d\n", generation))
		want := digestHere(t, src)
		deadline := time.Now().Add(within)
		for done := map[int]bool{}; len(done) < 2; {
			for rank, r := range dev.next(1, time.Until(deadline)) {
				if r.TreeDigest == want {
					done[rank] = true
				}
			}
		}
		for rank, pod := range pods(t, sandboxName, ns, "app="+ns) {
			if got := digestIn(t, sandboxName, ns, pod, "/app/.kubectl-ai/current/"); got != want {
				t.Errorf("rank %s holds %s, the laptop %s", rank, got, want)
			}
		}
	}
	// inContainer finds processes of rank 0's agent by their arguments.
	agent := func(verb string) string {
		return fmt.Sprintf("ps -eo pid=,args= | grep '[a]i-agent %s .*/main/agent.sock' | awk '{print $1}'", verb)
	}
	rank0 := func() string { return pods(t, sandboxName, ns, "app="+ns)["0"] }
	converge(t, time.Minute)
	before := identity(t, sandboxName, ns)

	t.Run("the connection", func(t *testing.T) {
		for range cuts() {
			node(t, ns, rank0(), agent("connect")+" | xargs -r kill -9")
			converge(t, time.Minute)
		}
		eventually(t, 30*time.Second, func() error {
			for rank, pod := range pods(t, sandboxName, ns, "app="+ns) {
				out := kubectl(t, sandboxName, "exec", "-n", ns, pod, "-c", "main", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o '[a]i-agent connect' | wc -l")
				if strings.TrimSpace(out) != "1" {
					return fmt.Errorf("rank %s has %s relays after %d cuts", rank, strings.TrimSpace(out), cuts())
				}
			}
			return nil
		})
	})
	t.Run("dev itself", func(t *testing.T) {
		_ = dev.cmd.Process.Kill()
		<-dev.done
		dev = startDev(whole, dir)
		converge(t, 2*time.Minute)
	})
	t.Run("the API server, for ten seconds", func(t *testing.T) {
		server := sandboxName + "-control-plane"
		if out, err := exec.Command("docker", "exec", server, "pkill", "-STOP", "kube-apiserver").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		hold := time.NewTimer(10 * time.Second)
		save(t, filepath.Join(src, "generation.txt"), "generation in the dark\n")
		<-hold.C
		if out, err := exec.Command("docker", "exec", server, "pkill", "-CONT", "kube-apiserver").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		converge(t, 2*time.Minute)
	})
	t.Run("a process that was stopped", func(t *testing.T) {
		kubectl(t, sandboxName, "exec", "-n", ns, rank0(), "-c", "main", "--", "bash", "-c", "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in python3*) kill -STOP ${p#/proc/};; esac; done")
		converge(t, time.Minute)
	})
	if after := identity(t, sandboxName, ns); after != before {
		t.Errorf("the workload changed:\n%s\nwas\n%s", after, before)
	}
	t.Run("the agent, and with it the container", func(t *testing.T) {
		node(t, ns, rank0(), agent("run")+" | xargs -r kill -9")
		converge(t, 2*time.Minute)
	})
	t.Run("a pod", func(t *testing.T) {
		kubectl(t, sandboxName, "delete", "pod", "-n", ns, rank0(), "--wait=false", "--grace-period=1")
		converge(t, 2*time.Minute)
	})
}
