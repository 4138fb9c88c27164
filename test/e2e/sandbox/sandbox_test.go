//go:build e2e

// Package sandbox takes a sandbox through its life with the built kubectl-ai:
// made, used across nodes, stopped, started and deleted, and interrupted at
// every step of its making.
package sandbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	name    = "kai-life"
	port    = "5052"
	runtime = "python:3.11-slim"
)

// machine is a user's machine: the program and a kubeconfig of their own.
type machine struct {
	t      *testing.T
	plugin string
	config string
}

const usersConfig = `apiVersion: v1
kind: Config
current-context: work
clusters: [{name: work, cluster: {server: "https://work.invalid"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: work, context: {cluster: work, user: me}}]
`

func newMachine(t *testing.T) *machine {
	t.Helper()
	plugin, err := filepath.Abs("../../../bin/kubectl-ai")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, plugin: plugin, config: filepath.Join(t.TempDir(), "config")}
	if err := os.WriteFile(m.config, []byte(usersConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(m.plugin, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+m.config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// ai runs kubectl-ai and wants an exit code.
func (m *machine) ai(code int, args ...string) (stdout, stderr string) {
	m.t.Helper()
	cmd := m.command(args...)
	var out, talk strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &talk
	_ = cmd.Run() // the exit code tells
	if got := cmd.ProcessState.ExitCode(); got != code {
		m.t.Fatalf("kubectl-ai %v: exit %d, want %d\n%s\n%s", args, got, code, out.String(), talk.String())
	}
	return out.String(), talk.String()
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// kubectl runs kubectl in the control plane.
func kubectl(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("docker", append([]string{"exec", "-i", name + "-control-plane", "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// left is everything of the sandbox that the engine and the kubeconfig hold.
func (m *machine) left() string {
	m.t.Helper()
	var found []string
	for _, query := range [][]string{
		{"ps", "-a", "--format", "{{.Names}}", "--filter", "label=io.x-k8s.kind.cluster=" + name},
		{"ps", "-a", "--format", "{{.Names}}", "--filter", "label=dev.kubectl-ai.sandbox.registry-port=" + port},
		{"volume", "ls", "-q", "--filter", "label=dev.kubectl-ai.sandbox.registry-port=" + port},
	} {
		found = append(found, strings.Fields(docker(m.t, query...))...)
	}
	config, err := os.ReadFile(m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	if strings.Contains(string(config), name) {
		found = append(found, "kubeconfig entries")
	}
	return strings.Join(found, " ")
}

// crossNode makes a server on the control plane and asks it from the worker.
func crossNode(t *testing.T, image string) {
	t.Helper()
	manifests := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: server}
spec:
  nodeName: %[1]s-control-plane
  tolerations: [{operator: Exists}]
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: %[2]q, imagePullPolicy: IfNotPresent, command: [python3, -m, http.server, "8000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeName: %[1]s-worker
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: %[2]q, imagePullPolicy: IfNotPresent, command: [python3, -c, "import time; time.sleep(10000)"]}]
`, name, image)
	for _, step := range [][2]string{
		{"", "delete pod server client --ignore-not-found --wait"},
		{manifests, "apply -f -"},
		{"", "wait --for=condition=Ready pod/server pod/client --timeout=120s"},
	} {
		if out, err := kubectl(t, step[0], strings.Fields(step[1])...); err != nil {
			describe, _ := kubectl(t, "", "describe", "pods")
			t.Fatalf("%s: %v\n%s\n%s", step[1], err, out, describe)
		}
	}
	ip, err := kubectl(t, "", "get", "pod", "server", "-o", "jsonpath={.status.podIP}")
	if err != nil {
		t.Fatal(err)
	}
	const ask = `import sys, time, urllib.request
for i in range(30):
    try: sys.exit(urllib.request.urlopen("http://%s:8000/", timeout=2).status != 200)
    except OSError as e: print(e); time.sleep(0.5)
sys.exit(1)`
	if out, err := kubectl(t, "", "exec", "client", "--", "python3", "-c", fmt.Sprintf(ask, ip)); err != nil {
		t.Errorf("a pod on the worker does not reach one on the control plane: %v\n%s", err, out)
	}
}

func TestLife(t *testing.T) {
	m := newMachine(t)
	m.command("sandbox", "delete", "--name", name, "--yes").Run() // of a run that was killed
	t.Cleanup(func() { m.command("sandbox", "delete", "--name", name, "--yes").Run() })

	m.ai(0, "sandbox", "create", "--name", name, "--nodes", "2", "--gpus", "none", "--registry-port", port)
	if config, err := os.ReadFile(m.config); err != nil || !strings.Contains(string(config), "current-context: work") || !strings.Contains(string(config), "kind-"+name) {
		t.Errorf("kubeconfig: %v\n%s", err, config)
	}
	if _, talk := m.ai(1, "sandbox", "create", "--name", name, "--gpus", "none"); !strings.Contains(talk, "SBX-002") {
		t.Errorf("a second create said:\n%s", talk)
	}
	if _, talk := m.ai(2, "sandbox", "delete", "--name", name); !strings.Contains(talk, "--yes") {
		t.Errorf("delete without a terminal said:\n%s", talk)
	}

	m.ai(0, "sandbox", "load", "--name", name, runtime)
	crossNode(t, runtime)

	pushed := "localhost:" + port + "/life/python:1"
	docker(t, "tag", runtime, pushed)
	t.Cleanup(func() { docker(t, "rmi", pushed) })
	docker(t, "push", pushed)
	crossNode(t, pushed)

	m.ai(0, "sandbox", "stop", "--name", name)
	if got := m.status(); got.State != "Stopped" || got.Registry.Answers {
		t.Errorf("stopped: %+v", got)
	}
	m.ai(0, "sandbox", "start", "--name", name)
	got := m.status()
	if got.State != "Running" || !got.Registry.Answers || len(got.Nodes) != 2 || !got.Nodes[0].Ready || !got.Nodes[1].Ready {
		t.Errorf("started: %+v", got)
	}
	crossNode(t, runtime)
	docker(t, "exec", name+"-worker", "crictl", "rmi", pushed)
	docker(t, "exec", name+"-control-plane", "crictl", "rmi", pushed)
	crossNode(t, pushed) // from the registry, which was stopped as well

	m.ai(0, "sandbox", "delete", "--name", name, "--yes")
	if left := m.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if _, talk := m.ai(1, "sandbox", "delete", "--name", name, "--yes"); !strings.Contains(talk, "SBX-003") {
		t.Errorf("a second delete said:\n%s", talk)
	}
}

// status is what the tests read of `sandbox status -o json`.
type status struct {
	State    string
	Registry struct{ Answers bool }
	Nodes    []struct{ Ready bool }
}

func (m *machine) status() status {
	m.t.Helper()
	out, _ := m.ai(0, "sandbox", "status", "--name", name, "-o", "json")
	var s status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// TestInterrupted sends Ctrl-C, to the whole process group as a terminal
// does, when a step begins and a moment later.
func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		step  string
		later time.Duration
	}{
		{"Find node image", 0},
		{"Start the node containers", 0},
		{"Start the node containers", 300 * time.Millisecond},
		{"Start the node containers", 700 * time.Millisecond},
		{"Start the control plane", time.Second},
		{"Join workers", time.Second},
		{"Wait for the nodes", 0},
		{"Start the registry", 0},
		{"Start the registry", 400 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%s+%v", c.step, c.later), func(t *testing.T) {
			m := newMachine(t)
			cmd := m.command("sandbox", "create", "--name", name, "--nodes", "2", "--gpus", "none", "--registry-port", port)
			talk, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for lines := bufio.NewScanner(talk); lines.Scan(); {
				said.WriteString(lines.Text() + "\n")
				if strings.HasPrefix(lines.Text(), "• "+c.step) {
					break
				}
			}
			<-time.After(c.later)
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(talk)
			if err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the exit code tells
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit %d\n%s%s", code, said.String(), rest)
			}
			<-time.After(time.Second) // an engine may finish what its killed client asked for
			left := m.left()
			for deadline := time.Now().Add(10 * time.Second); left != "" && time.Now().Before(deadline); left = m.left() {
				<-time.After(100 * time.Millisecond) // or is at the end of a removal
			}
			if left != "" {
				t.Errorf("left behind: %s", left)
				docker(t, append([]string{"rm", "-f", "-v"}, strings.Fields(docker(t, "ps", "-aq", "--filter", "label=io.x-k8s.kind.cluster="+name))...)...)
			}
		})
	}
}

func TestAClusterThatIsNotOursIsLeftAlone(t *testing.T) {
	m := newMachine(t)
	const stranger = "kai-stranger"
	id := docker(t, "create", "--name", stranger+"-control-plane", "--label", "io.x-k8s.kind.cluster="+stranger, "--label", "io.x-k8s.kind.role=control-plane", runtime, "true")
	t.Cleanup(func() { docker(t, "rm", "-f", id) })
	for _, verb := range [][]string{{"delete", "--yes"}, {"stop"}, {"start"}, {"status"}} {
		if _, talk := m.ai(1, append([]string{"sandbox", verb[0], "--name", stranger}, verb[1:]...)...); !strings.Contains(talk, "SBX-007") {
			t.Errorf("%s said:\n%s", verb[0], talk)
		}
	}
	if _, talk := m.ai(1, "sandbox", "create", "--name", stranger, "--gpus", "none"); !strings.Contains(talk, "SBX-002") {
		t.Errorf("create said:\n%s", talk)
	}
	if out, _ := m.ai(0, "sandbox", "list", "-o", "name"); strings.Contains(out, stranger) {
		t.Errorf("list shows it:\n%s", out)
	}
	docker(t, "container", "inspect", id)
}
