package command

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

// NewCmdSandbox returns `kubectl ai sandbox` with its verbs.
func NewCmdSandbox(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Kubernetes with GPUs on this machine: create, list, stop, delete, gpu …",
		Long: `A sandbox is a Kubernetes cluster in containers on this machine (kind), with
the machine's GPUs, or with simulated ones: they are scheduled, counted and seen
as real ones are, and compute nothing.

A sandbox named N has the kubeconfig context kind-N. Your current context stays
as it is, and clusters that other tools made are never touched.`,
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	cmd.AddCommand(
		newCmdSandboxCreate(f),
		newCmdSandboxList(f),
		newCmdSandboxStatus(f),
		newCmdSandboxStop(f),
		newCmdSandboxStart(f),
		newCmdSandboxDelete(f),
		newCmdSandboxLoad(f),
		newCmdSandboxAdd(f),
		newCmdGPU(f),
		NewCmdSandboxImage(f),
	)
	return cmd
}

// sandboxes works on the sandboxes of this machine and on what they share.
type sandboxes struct {
	*cluster.Manager
	registries *registry.Manager
}

// openSandboxes finds the container engine.
func openSandboxes(ctx context.Context, f *Factory) (*sandboxes, error) {
	m, err := cluster.Open(ctx)
	if err != nil {
		return nil, err
	}
	if f.Flags.KubeConfig != nil {
		m.Kubeconfig = *f.Flags.KubeConfig
	}
	m.Reporter = term.NewProgress(f.Streams)
	s := &sandboxes{Manager: m, registries: &registry.Manager{Engine: m.Engine, Programs: f.Payload}}
	m.Release = s.releaseRegistry
	return s, nil
}

// endpoint is the registry of a sandbox; ok is false for none.
func endpoint(mark cluster.Mark) (e registry.Endpoint, ok bool) {
	return registry.Endpoint{Port: mark.Registry}, mark.Registry != 0
}

// releaseRegistry removes a sandbox's registry unless another sandbox has it
// too.
func (s *sandboxes) releaseRegistry(ctx context.Context, mark cluster.Mark) error {
	e, ok := endpoint(mark)
	if !ok {
		return nil
	}
	used, err := s.sharesRegistry(ctx, mark, func(cluster.Cluster) bool { return true })
	if err != nil || used {
		return err
	}
	return s.registries.Remove(ctx, e)
}

// sharesRegistry says whether another sandbox that counts has the registry.
func (s *sandboxes) sharesRegistry(ctx context.Context, mark cluster.Mark, counts func(cluster.Cluster) bool) (bool, error) {
	all, err := s.List(ctx)
	return slices.ContainsFunc(all, func(c cluster.Cluster) bool {
		return c.Name != mark.Name && c.Mark.Registry == mark.Registry && counts(c)
	}), err
}

// addSandboxName offers --name.
func addSandboxName(cmd *cobra.Command, _ *Factory, name *string) {
	cmd.Flags().StringVar(name, "name", cluster.DefaultName, "name of the sandbox; its context is kind-NAME")
}

// completeWords completes a flag with fixed words.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// completeOrFile completes a flag that takes a word or a file: what begins no
// word is a file's name.
func completeOrFile(cmd *cobra.Command, flag string, words func() []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		known := words()
		if slices.ContainsFunc(known, func(word string) bool { return strings.HasPrefix(word, typed) }) {
			return known, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveDefault
	})
}

// checkOneOf refuses a flag's value that is none of the words.
func checkOneOf(flag, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return explain.Usagef("--%s %s: one of %v, please", flag, value, words)
}
