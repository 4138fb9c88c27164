//go:build e2e

package sandbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// leftovers are what doctor says of what is left.
func (m *machine) leftovers() (said []string) {
	m.t.Helper()
	cmd := m.command("doctor", "-o", "json")
	out, _ := cmd.Output() // 3 where this machine lacks something
	var list struct {
		Findings []struct{ Check, Status, Detail string }
	}
	if err := json.Unmarshal(out, &list); err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range list.Findings {
		if f.Check == "leftovers" {
			said = append(said, f.Status+" "+f.Detail)
		}
	}
	return said
}

// TestDoctorRemovesWhatWasCutShort kills a creation, which then cannot clean
// up, and has doctor --fix remove what is left: that, and nothing else.
func TestDoctorRemovesWhatWasCutShort(t *testing.T) {
	const cut = "kai-cut"
	m := newMachine(t)
	t.Cleanup(func() { _ = m.command("sandbox", "delete", "--name", cut, "--yes").Run() })
	const stranger = "kai-stranger" // a kind cluster of others, made halfway too
	docker(t, "create", "--name", stranger+"-control-plane", "--label", "io.x-k8s.kind.cluster="+stranger, "--label", "io.x-k8s.kind.role=control-plane", runtime, "true")
	t.Cleanup(func() { docker(t, "rm", "-f", stranger+"-control-plane") })
	// What is not ours to remove: all other containers, sandboxes of other
	// kubeconfigs among them, and their volumes.
	others := func() string {
		return docker(t, "ps", "-a", "--format", "{{.ID}} {{.Names}}", "--filter", "label=io.x-k8s.kind.cluster") + "\n" + docker(t, "volume", "ls", "-q")
	}
	before := others()

	create := m.command("sandbox", "create", "--name", cut, "--gpus", "none", "--registry-port", port)
	if err := create.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		if out, _ := m.ai(0, "sandbox", "list", "-o", "name"); strings.Contains(out, cut) {
			break // its nodes are marked
		}
		if time.Now().After(deadline) {
			t.Fatal("the sandbox is not begun")
		}
	}
	out, talk := m.ai(0, "sandbox", "list")
	if err := syscall.Kill(-create.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatalf("%v\n%s%s", err, out, talk)
	}
	_ = create.Wait()

	half := "WARN sandbox " + cut + " (running) is not whole: its making was cut short, unless it goes on now"
	said := m.leftovers()
	var unfinished []string
	for _, s := range said {
		if strings.Contains(s, "cut short, unless") {
			unfinished = append(unfinished, s)
		}
	}
	if len(unfinished) != 1 || unfinished[0] != half {
		t.Fatalf("doctor says of leftovers:\n%s\nwant one that is not whole:\n%s", strings.Join(said, "\n"), half)
	}
	if _, talk := m.mend("--fix"); !strings.Contains(talk, "sandbox "+cut+" stays") {
		t.Errorf("it did not ask, or nobody answered and it went on:\n%s", talk)
	}
	if _, talk := m.mend("--fix", "--yes"); !strings.Contains(talk, "fixed: deleted sandbox "+cut+"\n") || strings.Count(talk, "deleted sandbox") != 1 {
		t.Errorf("doctor --fix said:\n%s", talk)
	}
	if after := others(); after != before {
		t.Errorf("there is\n%s\nand was\n%s", after, before)
	}
	config, err := os.ReadFile(m.config)
	if err != nil || string(config) != usersConfig {
		t.Errorf("the kubeconfig changed: %v\n%s", err, config)
	}
	for _, s := range m.leftovers() {
		if strings.Contains(s, cut) {
			t.Errorf("left: %s", s)
		}
	}
}

// mend runs doctor in a HOME of its own, so that the user's links stay.
func (m *machine) mend(args ...string) (stdout, stderr string) {
	m.t.Helper()
	cmd := m.command(append([]string{"doctor"}, args...)...)
	cmd.Env = append(cmd.Env, "HOME="+m.t.TempDir(), "PATH="+filepath.Dir(m.plugin)+":"+os.Getenv("PATH"))
	var out, talk strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &talk
	_ = cmd.Run() // 3 where this machine lacks something
	return out.String(), talk.String()
}
