//go:build e2e

package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dyingEngine is a docker that stops answering once the file is there.
func dyingEngine(t *testing.T) (path, dead string) {
	t.Helper()
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dead = filepath.Join(dir, "dead")
	script := fmt.Sprintf(`#!/bin/sh
if [ -e %q ]; then
  echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2
  exit 1
fi
exec %s "$@"
`, dead, docker)
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir + string(os.PathListSeparator) + os.Getenv("PATH"), dead
}

// TestTheEngineDies has an engine stop answering when a step begins. What
// fails is said, in a bounded time, and what is left can be deleted as soon as
// the engine is back.
func TestTheEngineDies(t *testing.T) {
	for _, step := range []string{"Start the control plane", "Wait for the nodes"} {
		t.Run(step, func(t *testing.T) {
			m := newMachine(t)
			path, dead := dyingEngine(t)
			cmd := m.command("sandbox", "create", "--name", name, "--gpus", "none")
			cmd.Env = append(cmd.Env, "PATH="+path)
			talk, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.command("sandbox", "delete", "--name", name, "--yes").Run() })
			var said strings.Builder
			died := time.Time{}
			for lines := bufio.NewScanner(talk); lines.Scan(); {
				said.WriteString(lines.Text() + "\n")
				if strings.HasPrefix(lines.Text(), "• "+step) {
					if err := os.WriteFile(dead, nil, 0o600); err != nil {
						t.Fatal(err)
					}
					died = time.Now()
				}
			}
			_ = cmd.Wait() // the exit code tells
			t.Logf("ended %v after the engine", time.Since(died).Round(time.Second))
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit %d", code)
			}
			for _, want := range []string{"SBX-006", "Cannot connect to the Docker daemon", "next:", "kubectl ai doctor"} {
				if !strings.Contains(said.String(), want) {
					t.Errorf("nothing said of %q:\n%s", want, said.String())
				}
			}
			if out, _ := m.ai(0, "doctor", "-o", "json"); !strings.Contains(out, "sandbox "+name) {
				t.Errorf("doctor does not name what is left:\n%s", out)
			}
			m.ai(0, "sandbox", "delete", "--name", name, "--yes")
			if left := m.left(); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

// TestTwoCreatesOfOneName starts two at once: one is told, and the other's
// sandbox is whole.
func TestTwoCreatesOfOneName(t *testing.T) {
	m := newMachine(t)
	t.Cleanup(func() { m.command("sandbox", "delete", "--name", name, "--yes").Run() })
	type end struct {
		code int
		talk string
	}
	ends := make(chan end, 2)
	for range 2 {
		cmd := m.command("sandbox", "create", "--name", name, "--gpus", "none")
		go func() {
			out, _ := cmd.CombinedOutput()
			ends <- end{cmd.ProcessState.ExitCode(), string(out)}
		}()
	}
	first, second := <-ends, <-ends
	if first.code == 0 {
		first, second = second, first
	}
	if first.code != 1 || !strings.Contains(first.talk, "SBX-002") || second.code != 0 {
		t.Errorf("exit %d and %d\n%s\n%s", first.code, second.code, first.talk, second.talk)
	}
	if got := m.status(); got.State != "Running" || len(got.Nodes) != 1 || !got.Nodes[0].Ready {
		t.Errorf("status: %+v", got)
	}
	m.ai(0, "sandbox", "delete", "--name", name, "--yes")
	if left := m.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestAnImageThatIsNoNodeImage(t *testing.T) {
	m := newMachine(t)
	if _, talk := m.ai(2, "sandbox", "create", "--name", name, "--image", runtime, "--gpus", "none"); !strings.Contains(talk, "SBX-013") ||
		!strings.Contains(talk, "kubeadm") || !strings.Contains(talk, "/kind/version") {
		t.Errorf("it said:\n%s", talk)
	}
	if left := m.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
