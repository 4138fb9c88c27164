//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// user is somebody with kubectl, this plugin and a copy of the samples, who
// works in namespaces of his own.
type user struct {
	*testing.T
	home   string   // what the examples call samples/digits is below it
	bundle string   // home/samples/digits, where the other examples are typed
	ns     string   // of both clusters
	env    []string // beside the test's own
	words  []string // pairs: what examples and samples say, and what it is here
}

// newUser copies the samples and what they are made of.
func newUser(t *testing.T, ns, kubectl string) *user {
	t.Helper()
	home := t.TempDir()
	u := &user{T: t, home: home, bundle: filepath.Join(home, "samples/digits"), ns: ns, words: []string{
		"kind-ai-production", "kind-" + productionName,
		"kind-ai", "kind-" + sandboxName,
		"ai-worker", sandboxName + "-worker",
		"--name team", "--name " + sandboxName,
		"localhost:5001", "localhost:" + registryPort,
		"registry.example", "localhost:" + registryPort,
		"namespace: digits", "namespace: " + ns,
		"name: digits\n  labels:\n    pod-security", "name: " + ns + "\n  labels:\n    pod-security",
	}}
	for _, tree := range []string{"samples/digits", "kustomize/components"} {
		if err := os.CopyFS(filepath.Join(home, tree), os.DirFS(filepath.Join(root, tree))); err != nil {
			t.Fatal(err)
		}
	}
	for _, pattern := range []string{"kubectl-ai.yaml", "*/*.yaml", "*/*/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(u.bundle, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			save(t, file, u.here(read(t, file)))
		}
	}
	write(t, home, map[string]string{".kube/config": read(t, config)})
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{"kubectl": kubectl, "kubectl-ai": plugin} {
		if err := os.Symlink(program, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	u.env = []string{
		"HOME=" + home, "KUBECONFIG=" + filepath.Join(home, ".kube/config"),
		"PATH=" + bin + ":" + os.Getenv("PATH"), "SHELL=/bin/bash", "TERM=xterm-256color",
	}
	u.sh("kubectl config set-context lab --cluster=kind-" + productionName + " --user=kind-" + productionName)
	u.sh("kubectl config use-context kind-" + sandboxName)
	u.sh("kubectl config set-context --current --namespace=" + ns)
	return u
}

// here puts in for words of the examples what they are here.
func (u *user) here(text string) string { return strings.NewReplacer(u.words...).Replace(text) }

// means says what a word of the examples is here, for later lines.
func (u *user) means(word, here string) { u.words = append([]string{word, here}, u.words...) }

// script is a program of the user's own.
func (u *user) script(name, text string) {
	u.Helper()
	path := filepath.Join(u.home, "bin", name)
	save(u.T, path, "#!/bin/sh\n"+text+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		u.Fatal(err)
	}
}

// edit changes a file of the bundle.
func (u *user) edit(name, from, to string) {
	u.Helper()
	file := filepath.Join(u.bundle, name)
	text := read(u.T, file)
	if !strings.Contains(text, from) {
		u.Fatalf("%s has no %q", name, from)
	}
	save(u.T, file, strings.Replace(text, from, to, 1))
}

// shell is a line of shell in the folder that holds the samples if it names
// them, else in the bundle's.
func (u *user) shell(line string) *exec.Cmd {
	cmd := exec.Command("bash", "-o", "pipefail", "-c", line)
	cmd.Dir, cmd.Env = u.bundle, append(os.Environ(), u.env...)
	if strings.Contains(line, "samples/digits") {
		cmd.Dir = u.home
	}
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// sh runs what has to be there before an example, and returns what it prints.
func (u *user) sh(line string) string {
	u.Helper()
	cmd := u.shell(line)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		u.Fatalf("%s: %v\n%s%s", line, err, out, talk.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// ourCall is where this program is called in a line, to the end of that call.
var ourCall = regexp.MustCompile(`kubectl[ -]ai [^|&>]*`)

// run runs an example as it is printed, with the words that stand for
// something put in.
func (u *user) run(e example) {
	u.Helper()
	if e.before != nil {
		e.before(u)
	}
	line := u.here(e.line)
	if e.more != "" {
		line = ourCall.ReplaceAllStringFunc(line, func(call string) string {
			before, after, args := strings.Cut(strings.TrimRight(call, " "), " -- ")
			if call = before + " " + e.more + " "; args {
				call += "-- " + after
			}
			return call
		})
	}
	began := time.Now()
	cmd := u.shell(line)
	var stdout, all string
	var err error
	if e.types == "" {
		stdout, all, err = u.wait(cmd)
	} else {
		all, err = u.converse(cmd, e)
	}
	u.Logf("%6.1fs  %s", time.Since(began).Seconds(), line)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != e.exit {
		u.Fatalf("%v, want exit %d: %s\n%s", err, e.exit, line, all[max(0, len(all)-4000):])
	}
	if strings.Contains(line, "| jq") && strings.TrimSpace(stdout) == "null" {
		u.Errorf("it asks for a field that is not there: %s", line)
	}
	if e.after != nil {
		e.after(u, strings.TrimSpace(stdout))
	}
}

// wait runs a command to its end, without a terminal.
func (u *user) wait(cmd *exec.Cmd) (stdout, all string, err error) {
	var out bytes.Buffer
	both := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, both), both
	err = cmd.Run()
	return out.String(), both.String(), err
}

// converse runs a command on a terminal, waits until it has said what the
// example waits for, types the answer and goes on to the end.
func (u *user) converse(cmd *exec.Cmd, e example) (all string, err error) {
	u.Helper()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 120, Rows: 40})
	if err != nil {
		u.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	said := &lockedBuffer{}
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(said, terminal); close(ended) }() // EIO is its end
	deadline := time.After(2 * time.Minute)
	for !strings.Contains(said.String(), e.says) {
		select {
		case <-ended:
			return said.String(), fmt.Errorf("it has not said %q: %w", e.says, cmd.Wait())
		case <-deadline:
			_ = cmd.Process.Kill()
			return said.String(), fmt.Errorf("it has not said %q for too long: %w", e.says, cmd.Wait())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if _, err := terminal.WriteString(e.types); err != nil {
		return said.String(), err
	}
	<-ended
	return said.String(), cmd.Wait()
}
