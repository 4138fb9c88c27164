//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// readmeNamespace is where the README's bundle runs in both clusters.
const readmeNamespace = "readme"

// elsewhere are the commands of README.md that would make clusters or a whole
// machine, by what runs them in place of this test.
var elsewhere = map[string]string{
	"kubectl ai sandbox create --registry":                "test/e2e/harness_test.go", // makes the clusters of all these tests by it
	"make quickstart":                                     "test/quickstart/quickstart.sh",
	"make test":                                           ".ci/run",
	"make release VERSION=v0.1.0":                         "test/e2e/install_test.go",
	"make build && install bin/kubectl-ai /usr/local/bin": "test/install/install.sh",
	"kubectl ai setup":                                    "test/install/install.sh",
	"kubectl ai demo":                                     "test/e2e/lifecycle_test.go",
}

// step is a command of a block, and what it prints below.
type step struct {
	command string
	prints  []string
}

// blocks returns the commands of README.md, those of each block in order.
func blocks(t *testing.T) (all []step) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	fenced := false
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		command, isCommand := strings.CutPrefix(line, "$ ")
		if !fenced {
			if command, isCommand = strings.CutPrefix(line, "    "); !isCommand {
				continue
			}
		}
		if isCommand {
			command, _, _ = strings.Cut(command, " #")
			all = append(all, step{command: strings.TrimSpace(command)})
		} else if strings.TrimSpace(line) != "" {
			last := &all[len(all)-1]
			last.prints = append(last.prints, line)
		}
	}
	return all
}

// readme is the machine that README.md presumes: kubectl and the plugin on
// PATH, the samples in the folder, both clusters in the kubeconfig.
type readme struct {
	t   *testing.T
	dir string
	env []string
}

func newReadme(t *testing.T) *readme {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("cp", "-r", filepath.Join(root, "samples"), dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the samples: %v\n%s", err, out)
	}
	// The sample goes to this test's clusters, in a namespace of its own.
	file := filepath.Join(dir, "samples/digits/kubectl-ai.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	save(t, file, strings.NewReplacer(
		"kind-ai-production", "kind-"+productionName, "kind-ai", "kind-"+sandboxName,
		"localhost:5001", "localhost:"+registryPort, "namespace: digits", "namespace: "+readmeNamespace,
	).Replace(string(raw)))
	for _, environment := range []string{"sandbox", "production"} {
		overlay := filepath.Join(dir, "samples/digits/overlays", environment, "kustomization.yaml")
		if raw, err = os.ReadFile(overlay); err != nil {
			t.Fatal(err)
		}
		named := strings.Replace(string(raw), "namespace: digits\n", "", 1) // that of the sandbox names none
		save(t, overlay, named+"namespace: "+readmeNamespace+"\n")
	}
	for _, cluster := range []string{sandboxName, productionName} {
		namespace(t, cluster, readmeNamespace)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{"kubectl": kubectlProgram(t), "kubectl-ai": plugin} {
		if err := os.Symlink(program, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return &readme{t: t, dir: dir, env: append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))}
}

// start starts a command as a shell would, with a terminal's patience.
func (r *readme) start(ctx context.Context, command string) (*exec.Cmd, *lockedBuffer) {
	r.t.Helper()
	// The README's sandbox is named "ai", as by default, and has one node.
	command = strings.Replace(command, "sandbox gpu fail", "sandbox gpu fail --name "+sandboxName+" --node "+sandboxName+"-worker", 1)
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+command)
	cmd.Dir, cmd.Env = r.dir, r.env
	if strings.HasPrefix(command, "kubectl ai init") { // in a project that has no bundle yet
		cmd.Dir = filepath.Join(r.dir, "mine")
		write(r.t, cmd.Dir, map[string]string{"train.py": "print('epoch 1 loss 0.5')\n"})
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return cmd, out
}

func (r *readme) run(s step) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute)
	defer cancel()
	if strings.Contains(s.command, "--to production") { // who reads it answers
		s.command += " --yes"
	}
	cmd, out := r.start(ctx, s.command)
	if err := cmd.Wait(); err != nil {
		r.t.Fatalf("$ %s: %v\n%s", s.command, err, out)
	}
	r.shows(s, out.String())
}

// shows says whether the lines of a block are printed, in their order: with
// other numbers, digests and names of pods, and anything where it says ….
func (r *readme) shows(s step, printed string) {
	r.t.Helper()
	rest := printed
	for _, line := range s.prints {
		if strings.Contains(line, "[y/N]") || strings.HasPrefix(strings.TrimSpace(line), "…") {
			continue
		}
		at := like(line).FindStringIndex(rest)
		if at == nil {
			r.t.Errorf("$ %s\ndoes not print\n%s\nbut\n%s", s.command, line, printed)
			return
		}
		rest = rest[at[1]:]
	}
}

var varies = regexp.MustCompile(`…|digits-\d-\w{5}|[0-9a-f]{8,}|\d+(\.\d+)?| +`)

// like matches lines that differ in what varies from run to run alone.
func like(line string) *regexp.Regexp {
	var pattern strings.Builder
	last := 0
	for _, at := range varies.FindAllStringIndex(line, -1) {
		pattern.WriteString(regexp.QuoteMeta(line[last:at[0]]))
		switch word := line[at[0]:at[1]]; {
		case word == "…":
			pattern.WriteString(`.*`)
		case strings.HasPrefix(word, " "):
			pattern.WriteString(` +`)
		case strings.HasPrefix(word, "digits-"):
			pattern.WriteString(`digits-\d-\w{5}`)
		default:
			pattern.WriteString(`[0-9a-f.]+`)
		}
		last = at[1]
	}
	pattern.WriteString(regexp.QuoteMeta(line[last:]))
	text := strings.NewReplacer("kind-ai-production", "kind-"+productionName, "namespace +digits", "namespace +"+readmeNamespace).Replace(pattern.String())
	return regexp.MustCompile(text)
}

// Every block of README.md is run, and prints what it shows.
func TestTheREADMEIsTrue(t *testing.T) {
	r := newReadme(t)
	ran := 0
	for _, s := range blocks(t) {
		if by := elsewhere[s.command]; by != "" {
			if _, err := os.Stat(filepath.Join(root, by)); err != nil {
				t.Errorf("$ %s: %v", s.command, err)
			}
			continue
		}
		ran++
		switch {
		case s.command == "kubectl ai dev samples/digits":
			r.dev(s)
		case strings.HasPrefix(s.command, "kubectl ai dashboard"):
			r.dashboard(s)
		case s.command == "kubectl ai doctor":
			r.doctor(s)
		case strings.HasPrefix(s.command, "kubectl ai sandbox gpu fail"):
			r.run(s)
			must(t, "sandbox", "gpu", "heal", "--name", sandboxName)
		default:
			r.run(s)
		}
	}
	if ran < 8 {
		t.Errorf("%d commands were run", ran)
	}
}

// dev saves train.py where the block says so, and detaches in the end.
func (r *readme) dev(s step) {
	r.t.Helper()
	ctx, detach := context.WithCancel(r.t.Context())
	defer detach()
	cmd, out := r.start(ctx, s.command)
	said := func(line string) {
		r.t.Helper()
		eventually(r.t, 2*time.Minute, func() error {
			if !like(line).MatchString(out.String()) {
				return fmt.Errorf("$ %s\ndoes not print\n%s\nbut\n%s", s.command, line, out)
			}
			return nil
		})
	}
	for _, line := range s.prints {
		if strings.Contains(line, "save train.py") {
			train := filepath.Join(r.dir, "samples/digits/src/train.py")
			raw, err := os.ReadFile(train)
			if err != nil {
				r.t.Fatal(err)
			}
			save(r.t, train, string(raw)+"\n# one more line\n")
			continue
		}
		said(line)
	}
	detach()
	_ = cmd.Wait() // it was interrupted
}

// dashboard is looked at, and left by Ctrl-C.
func (r *readme) dashboard(s step) {
	r.t.Helper()
	ctx, leave := context.WithCancel(r.t.Context())
	defer leave()
	cmd, out := r.start(ctx, s.command)
	eventually(r.t, time.Minute, func() error {
		if !strings.Contains(out.String(), "http://127.0.0.1:") {
			return fmt.Errorf("$ %s: no address: %s", s.command, out)
		}
		return nil
	})
	leave()
	_ = cmd.Wait()
}

// doctor may find fault with this machine; that it looks is what is asked.
func (r *readme) doctor(s step) {
	r.t.Helper()
	cmd, out := r.start(r.t.Context(), s.command)
	err := cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); (code != 0 && code != 3) || !strings.Contains(out.String(), "OK") {
		r.t.Errorf("$ %s: %v\n%s", s.command, err, out)
	}
}
