package command

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/setup"
)

// NewCmdCompletion returns `kubectl ai completion`.
func NewCmdCompletion(f *Factory) *cobra.Command {
	install, remove := false, false
	cmd := &cobra.Command{
		Use:   "completion [SHELL]",
		Short: "Complete kubectl-ai in bash, zsh, fish and PowerShell",
		Long: `Prints the script by which a shell completes kubectl-ai, typed without kubectl: verbs,
flags, and names of what is there, such as contexts, runs, pods and releases. SHELL is
bash, zsh, fish or powershell; without it, the one that $SHELL names.

What follows kubectl ai is completed by kubectl's own script and a link: kubectl ai setup.

With --install the script is written to the user's folder that the shell loads:

  bash        ~/.local/share/bash-completion/completions (package bash-completion)
  fish        ~/.config/fish/completions
  zsh         a folder of fpath in your home, else ~/.local/share/zsh/site-functions
  powershell  ~/.config/powershell, or Documents\PowerShell on Windows

zsh and PowerShell need a line in a start-up file then; it is printed, and left for you
to add. A file that --install did not write is never written over.`,
		Example: `  kubectl ai completion --install
  kubectl ai completion bash > kubectl-ai.bash
  kubectl ai completion zsh --remove`,
		Args:      atMostOne,
		ValidArgs: setup.Shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			if install && remove {
				return explain.Usagef("--install and --remove exclude each other")
			}
			windows := runtime.GOOS == "windows"
			shell := setup.ShellOf(os.Getenv("SHELL"), windows)
			if len(args) > 0 {
				shell = strings.ToLower(args[0])
			}
			if shell == "" || setup.ShellOf(shell, windows) != shell {
				return explain.Usagef("completion is there for %s: name one of them\nsee: %s --help", strings.Join(setup.Shells, ", "), cmd.CommandPath())
			}
			text, err := completionScript(cmd.Root(), shell)
			if err != nil {
				return err
			}
			if !install && !remove {
				_, err := f.Streams.Out.Write(text)
				return err
			}
			program := cmd.Root().Name()
			home, _ := os.UserHomeDir()
			script, err := setup.ScriptFor(shell, program, home, windows, os.Getenv)
			if err != nil {
				return err
			}
			if remove {
				return removeCompletion(f, script)
			}
			if err := script.Install(program, text); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(f.Streams.Out, script.Path); err != nil {
				return err
			}
			if script.Line != "" {
				f.Streams.Talk("add to %s: %s", script.Startup, script.Line)
			}
			f.Streams.Talk("a new %s completes %s; what follows kubectl is completed after: kubectl ai setup", shell, program)
			return nil
		},
	}
	cmd.Flags().BoolVar(&install, "install", false, "write the script to where the shell loads it from")
	cmd.Flags().BoolVar(&remove, "remove", false, "remove what --install wrote")
	return cmd
}

func removeCompletion(f *Factory, script setup.Script) error {
	there, err := script.Remove()
	if err != nil {
		return err
	}
	if !there {
		f.Streams.Talk("%s is not there", script.Path)
		return nil
	}
	_, err = fmt.Fprintln(f.Streams.Out, script.Path)
	if script.Line != "" {
		f.Streams.Talk("remove from %s: %s", script.Startup, script.Line)
	}
	return err
}

// completionScript is cobra's, which asks the program for every name.
func completionScript(root *cobra.Command, shell string) ([]byte, error) {
	var text bytes.Buffer
	var err error
	switch shell {
	case "bash":
		err = root.GenBashCompletionV2(&text, true)
	case "zsh":
		err = root.GenZshCompletion(&text)
	case "fish":
		err = root.GenFishCompletion(&text, true)
	default:
		err = root.GenPowerShellCompletionWithDesc(&text)
	}
	return text.Bytes(), err
}
