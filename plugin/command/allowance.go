package command

import (
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// allowance is the permission to change a cluster that is no sandbox. It
// comes from the command line alone: a project file travels with a
// repository, and what came by git pull must not open a cluster.
type allowance struct {
	context string // --allow-context
	command string // the command line as it was given
	reads   bool   // nothing is changed, and nothing need be permitted
}

// addFlag offers --allow-context.
func (a *allowance) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.context, "allow-context", "", "name of the context that is used, as permission to change a cluster that is no sandbox")
	cmd.PreRun = func(cmd *cobra.Command, args []string) { a.command = commandLine(cmd, args) }
}

// check refuses a permission for another context than the one that is used.
func (a *allowance) check(context string) error {
	if a.context != "" && a.context != context {
		return &explain.OtherContextError{Allowed: a.context, Context: context}
	}
	return nil
}

// permit turns the reason why a context is no sandbox of this machine into
// nil where it may be used all the same, else into what the user is to know.
func (a *allowance) permit(context string, reason error) error {
	var none *explain.NotASandboxError
	var foreign *cluster.NotOursError
	var absent *cluster.NotFoundError
	isForeign := errors.As(reason, &none) || errors.As(reason, &foreign)
	switch {
	case !isForeign && !errors.As(reason, &absent) && !errors.Is(reason, engine.ErrNoEngine):
		return reason
	case a.reads || a.context == context:
		return nil
	case isForeign:
		return &explain.NotASandboxError{Context: context, Command: a.command}
	}
	return reason
}

// plain words need no quotes in a shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// commandLine is a command as it was given, for a shell, flags last.
func commandLine(cmd *cobra.Command, args []string) string {
	words := append([]string{}, args...)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		list, isList := f.Value.(pflag.SliceValue)
		switch {
		case f.Name == "allow-context":
		case isList:
			for _, value := range list.GetSlice() {
				words = append(words, "--"+f.Name+"="+value)
			}
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			words = append(words, "--"+f.Name)
		default:
			words = append(words, "--"+f.Name+"="+f.Value.String())
		}
	})
	for i, w := range words {
		if !plain.MatchString(w) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(append([]string{cmd.CommandPath()}, words...), " ")
}
