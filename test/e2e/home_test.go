//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"
)

// installed is a folder of PATH as krew leaves it: the plugin's link, with a
// kubectl beside it. It returns kubectl.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	kubectl := filepath.Join(dir, "kubectl")
	if out, err := exec.Command("docker", "cp", sandboxName+"-control-plane:/usr/bin/kubectl", kubectl).CombinedOutput(); err != nil {
		t.Fatalf("docker cp: %v\n%s", err, out)
	}
	if err := os.Symlink(plugin, filepath.Join(dir, "kubectl-ai")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return kubectl
}

// output runs a program in a folder and returns what it printed.
func output(t *testing.T, dir, program string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v", program, args, err)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

// offers are the names that a shell would offer, without descriptions.
func offers(out string) []string {
	var names []string
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if name != "" && !strings.HasPrefix(name, ":") {
			names = append(names, name)
		}
	}
	return names
}

// TAB knows what is on clusters: typed after the plugin's own name, and after
// kubectl's, which asks the link that setup wrote.
func TestNamesAreCompletedLive(t *testing.T) {
	kubectl := installed(t)
	const name = "e2e-home"
	dir := bundle(t, sandboxName, name, job(name, 2, ""))
	namespace(t, productionName, name)
	if out, talk, code := output(t, "", kubectl, "ai", "setup"); code != 0 || !strings.Contains(out, "kubectl_complete-ai -> kubectl-ai") {
		t.Fatalf("setup: exit %d\n%s%s", code, out, talk)
	}
	must(t, "dev", dir, "--once")
	t.Cleanup(func() { _ = exec.Command(plugin, "dev", dir, "--cleanup").Run() })
	ranks := pods(t, sandboxName, name, "app="+name)
	must(t, "promote", dir, "--to", "production", "--yes")
	var record runRecord
	if err := json.Unmarshal([]byte(must(t, "run", dir, "-o", "json").stdout), &record); err != nil || record.ID == "" {
		t.Fatalf("%v: %+v", err, record)
	}
	context := "kind-" + sandboxName
	for _, c := range []struct {
		in   string // the folder; empty: one without a bundle
		args []string
		want []string
	}{
		{"", []string{"why", "--dir", dir}, []string{record.ID, ranks["0"], ranks["1"]}},
		{dir, []string{"why"}, []string{record.ID, ranks["0"]}},
		{"", []string{"runs", "show", "--dir", dir}, []string{record.ID}},
		{"", []string{"runs", "compare", "--dir", dir}, []string{record.ID}},
		{"", []string{"attach", "--context", context, "-n", name}, []string{ranks["0"], ranks["1"]}},
		{"", []string{"attach", "--context", context, "-n", name, ranks["0"] + "/"}, []string{ranks["0"] + "/main"}},
		{"", []string{"status", "--context"}, []string{context, "kind-" + productionName}},
		{"", []string{"status", "--context", context, "-n"}, []string{name, "kube-system"}},
		{"", []string{"status", dir, "-n"}, []string{name}},
		{"", []string{"sandbox", "status", "--name"}, []string{sandboxName, productionName}},
		{"", []string{"pull", "--dir", dir, "--rank"}, []string{"0", "1"}},
		{dir, []string{"back"}, []string{"1"}},
		{"", []string{"show", dir, "--to", "production", "--release"}, []string{"1"}},
		{"", []string{"rollback", dir, "--to", "production", "--to-release"}, []string{"1"}},
		{"", []string{"run", dir, "--stage"}, []string{"train"}},
		{"", []string{"promote", dir, "--to"}, []string{"production", "sandbox"}},
		{"", []string{"explain"}, []string{"DOC-021"}},
		{"", []string{"catalog", "show"}, []string{"train"}},
		{"", []string{"sandbox", "create", "--profile"}, []string{"h100"}},
	} {
		in := c.in
		if in == "" {
			in = t.TempDir()
		}
		args := c.args
		if !strings.HasSuffix(args[len(args)-1], "/") {
			args = append(args, "") // the next word
		}
		direct, talk, code := output(t, in, plugin, append([]string{"__complete"}, args...)...)
		if code != 0 || talk != "" {
			t.Errorf("%v: exit %d, said %q", c.args, code, talk)
		}
		through, _, _ := output(t, in, kubectl, append([]string{"__complete", "ai"}, args...)...)
		for how, out := range map[string]string{"directly": direct, "through kubectl": through} {
			for _, want := range c.want {
				if !slices.Contains(offers(out), want) {
					t.Errorf("%v, %s: no %s among\n%s", c.args, how, want, out)
				}
			}
		}
	}
	// A word that is there already is not offered again, and one that was begun
	// leaves the others out.
	out, _, _ := output(t, dir, plugin, "__complete", "runs", "compare", record.ID, "")
	if slices.Contains(offers(out), record.ID) {
		t.Errorf("offered again:\n%s", out)
	}
	out, _, _ = output(t, dir, plugin, "__complete", "why", ranks["1"])
	if got := offers(out); !slices.Equal(got, []string{ranks["1"]}) {
		t.Errorf("%q", got)
	}
}

// Beside another plugin of the name, which comes first, verbs are found by
// their links, complete, and name themselves as they are typed.
func TestLifeBesideAnotherPlugin(t *testing.T) {
	kubectl := installed(t)
	ours := filepath.Join(filepath.Dir(kubectl), "kubectl-ai")
	theirs := t.TempDir()
	if err := os.WriteFile(filepath.Join(theirs, "kubectl-ai"), []byte("#!/bin/sh\necho \"a model says: $*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", theirs+string(os.PathListSeparator)+os.Getenv("PATH"))
	if _, talk, code := output(t, "", ours, "setup"); code != 3 || !strings.Contains(talk, "error[SET-003]") {
		t.Errorf("exit %d\n%s", code, talk)
	}
	if _, talk, code := output(t, "", ours, "setup", "--coexist"); code != 0 {
		t.Fatalf("exit %d\n%s", code, talk)
	}
	if out, _, _ := output(t, "", kubectl, "ai", "sandbox", "list", "-o", "name"); !strings.Contains(out, "sandbox/"+sandboxName) {
		t.Errorf("kubectl ai sandbox list: %s", out)
	}
	if out, _, _ := output(t, "", kubectl, "ai", "why", "is", "it", "pending"); strings.Contains(out, "a model") {
		t.Errorf("a verb went to the other one: %s", out)
	}
	if out, _, _ := output(t, "", kubectl, "ai", "hello there"); !strings.Contains(out, "a model says: hello there") {
		t.Errorf("what is no verb did not go to the other one: %s", out)
	}
	if out, _, _ := output(t, "", kubectl, "__complete", "ai", "sandbox", "status", "--name", ""); !slices.Contains(offers(out), sandboxName) {
		t.Errorf("completion of a verb: %s", out)
	}
	if out, _, _ := output(t, "", kubectl, "ai", "why-ignored", "--help"); !strings.Contains(out, "kubectl ai why-ignored PATH") {
		t.Errorf("help: %s", out)
	}
	if out, _, _ := output(t, "", kubectl, "ai", "doctor", "-o", "json"); !strings.Contains(out, "is another plugin, and every verb of this one has a link") {
		t.Errorf("doctor: %s", out)
	}
	if _, talk, code := output(t, "", ours, "setup", "--remove"); code != 0 {
		t.Errorf("exit %d\n%s", code, talk)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(kubectl), "kubectl*-ai*")); err != nil || !slices.Equal(left, []string{ours}) {
		t.Errorf("left: %v, %v", left, err)
	}
}

// doctor of a user who may not do much, with a dead context among good ones.
func TestDoctorSeesTheCluster(t *testing.T) {
	kubectl := installed(t)
	content, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	for _, args := range [][]string{
		{"config", "set-cluster", "gone", "--server=https://127.0.0.1:1"},
		{"config", "set-context", "gone", "--cluster=gone", "--user=kind-" + sandboxName},
		{"config", "use-context", "kind-" + sandboxName},
	} {
		if _, talk, code := output(t, "", kubectl, args...); code != 0 {
			t.Fatalf("kubectl %v: %s", args, talk)
		}
	}
	type finding struct{ ID, Check, Status, Detail, Fix string }
	look := func(args ...string) map[string][]finding {
		var printed struct {
			APIVersion, Kind string
			Findings         []finding
		}
		out, talk, _ := output(t, "", kubectl, append([]string{"ai", "doctor", "-o", "json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &printed); err != nil || printed.Kind != "Doctor" {
			t.Fatalf("%v\n%s\n%s", err, out, talk)
		}
		found := map[string][]finding{}
		for _, f := range printed.Findings {
			if f.ID == "" {
				t.Errorf("no ID: %+v", f)
			}
			found[f.Check] = append(found[f.Check], f)
		}
		return found
	}
	found := look()
	for range 4 { // it gives each cluster a moment, and a busy one may need more
		if f := found["contexts"]; len(f) == 2 && strings.Contains(f[1].Detail, "2 answer") {
			break
		}
		found = look()
	}
	if f := found["contexts"]; len(f) != 2 || f[0].Status != "WARN" || !strings.Contains(f[0].Detail, "context gone does not answer") || !strings.Contains(f[1].Detail, "2 answer") {
		t.Errorf("%+v", f)
	}
	for _, check := range []string{"clock", "certificates", "permissions", "kubectl", "PATH"} {
		if f := found[check]; len(f) != 1 || f[0].Status != "OK" {
			t.Errorf("%s: %+v", check, f)
		}
	}
	if f := look("--as", "nobody")["permissions"]; len(f) != 1 || f[0].Status != "WARN" || !strings.Contains(f[0].Detail, "you may not list pods") {
		t.Errorf("%+v", f)
	}
	if out, talk, code := output(t, "", kubectl, "ai", "doctor", "--pre"); code != 0 || out != "" || talk != "" {
		t.Errorf("--pre: exit %d\n%s%s", code, out, talk)
	}
}

// On a terminal of 40 columns no line is wider, and no colour is asked for.
func TestATerminalOf40Columns(t *testing.T) {
	for _, args := range [][]string{{"doctor"}, {"sandbox", "list"}, {"status", filepath.Join(root, "samples/digits"), "--context", "kind-" + sandboxName}} {
		cmd := exec.CommandContext(t.Context(), plugin, args...)
		cmd.Env = append(os.Environ(), "NO_COLOR=1", "TERM=xterm-256color")
		screen, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 40, Rows: 24})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		_, _ = out.ReadFrom(screen) // EIO is its end
		_ = cmd.Wait()
		if out.Len() == 0 {
			t.Errorf("%v printed nothing", args)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimRight(line, "\r\n")
			if width := ansi.StringWidth(line); width > 40 && !strings.HasPrefix(line, "error") {
				t.Errorf("%v: %s columns: %q", args, strconv.Itoa(width), line)
			}
			if strings.Contains(line, "\x1b[3") {
				t.Errorf("%v: colour: %q", args, line)
			}
		}
	}
}
