//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TAB completes in the shells that people have, each on a terminal of its own
// and as its user set it up: by `completion --install` for kubectl-ai, by
// kubectl's own script and `setup` for what follows kubectl ai.
func TestCompletionInShells(t *testing.T) {
	const ns, pod = "shells", "shells-pod-of-this-test"
	namespace(t, sandboxName, ns)
	apply(t, sandboxName, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: {nodeSelector: {no: node}, containers: [{name: trainer, image: none}]}}`, pod, ns))
	kubectlPath := kubectlProgram(t)

	for _, s := range []struct {
		shell, startup string // the user's own start-up file and what is in it
		rc             string
		args           []string
	}{
		{shell: "bash", startup: ".bashrc", rc: "PS1='$ '\n. /usr/share/bash-completion/bash_completion\n. <(kubectl completion bash)\n", args: []string{"-i"}},
		{shell: "zsh", startup: ".zshrc", rc: "PROMPT='$ '\n%s\n. <(kubectl completion zsh)\n", args: []string{"-d", "-i"}},
		{
			shell: "fish", startup: ".config/fish/config.fish", args: []string{"-i"},
			// What fish suggests unasked would be taken for what TAB completed.
			rc: "function fish_prompt; echo -n '$ '; end\nfunction fish_greeting; end\nset -g fish_autosuggestion_enabled 0\nkubectl completion fish | source\n",
		},
	} {
		t.Run(s.shell, func(t *testing.T) {
			t.Parallel()
			program, err := exec.LookPath(s.shell)
			if err != nil {
				t.Fatalf("%v: make host installs it", err)
			}
			home := t.TempDir()
			bin := filepath.Join(home, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, to := range map[string]string{"kubectl": kubectlPath, "kubectl-ai": plugin, "kubectl_complete-ai": plugin} {
				if err := os.Symlink(to, filepath.Join(bin, name)); err != nil {
					t.Fatal(err)
				}
			}
			env := []string{"HOME=" + home, "PATH=" + bin + ":/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "KUBECONFIG=" + config}
			install := exec.Command(filepath.Join(bin, "kubectl-ai"), "completion", s.shell, "--install")
			install.Env = env
			var said bytes.Buffer
			install.Stderr = &said
			if out, err := install.Output(); err != nil || !strings.HasPrefix(string(out), home) {
				t.Fatalf("completion --install: %v\n%s%s", err, out, &said)
			}
			line := "" // what it asks its user to add
			for l := range strings.Lines(said.String()) {
				if _, after, ok := strings.Cut(l, s.startup+": "); ok {
					line = strings.TrimSpace(after)
				}
			}
			rc := s.rc
			if strings.Contains(rc, "%s") {
				if line == "" {
					t.Fatalf("it does not say what %s needs: %s", s.startup, &said)
				}
				rc = fmt.Sprintf(rc, line)
			}
			write(t, home, map[string]string{s.startup: rc})

			cmd := exec.Command(program, s.args...)
			cmd.Dir, cmd.Env = home, env
			shell := onTerminal(t, 150, 24, cmd)
			shell.status("$", time.Minute)
			where := " --context kind-" + sandboxName + " -n " + ns
			for _, c := range []struct{ typed, want string }{
				{"kubectl-ai sand", "kubectl-ai sandbox"},
				{"kubectl-ai sandbox create --gpus-p", "kubectl-ai sandbox create --gpus-per-node"},
				{"kubectl-ai status --context kind-" + sandboxName + " -n shel", "kubectl-ai status --context kind-" + sandboxName + " -n shells"},
				{"kubectl-ai why" + where + " shells-p", "kubectl-ai why" + where + " " + pod},
				{"kubectl-ai attach" + where + " " + pod + "/", "kubectl-ai attach" + where + " " + pod + "/trainer"},
				{"kubectl ai generat", "kubectl ai generations"},
				{"kubectl ai why" + where + " shells-p", "kubectl ai why" + where + " " + pod},
			} {
				shell.press("\x15" + c.typed) // on an empty line
				shell.status("$ "+c.typed, 30*time.Second)
				shell.press("\t")
				shell.status("$ "+c.want, time.Minute)
			}
		})
	}
}
