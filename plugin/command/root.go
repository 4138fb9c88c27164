package command

import (
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/setup"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/plugin/topics"
)

// NewRoot returns `kubectl ai` with all its verbs.
func NewRoot(streams term.Streams, payload fs.FS, version string) *cobra.Command {
	f := &Factory{
		Streams: streams,
		Flags:   genericclioptions.NewConfigFlags(true),
		Payload: payload,
		Version: version,
	}
	root := &cobra.Command{
		Use:   "kubectl-ai",
		Short: "Take AI training code from a laptop to production Kubernetes, unchanged",
		Long: `kubectl ai runs a kustomize bundle with GPUs on a cluster on your laptop, keeps
the code in the running pods the same as the code in your editor, and promotes
exactly that code to production.

  kubectl ai init                      a bundle out of the project in this folder
  kubectl ai sandbox create            a kind cluster with (simulated) GPUs
  kubectl ai dev samples/digits        run the bundle; every save runs in all ranks
  kubectl ai promote --to production   the same code, digest for digest

Exit codes: 0 done, 1 failed, 2 usage, 3 precondition not met, 4 not permitted,
5 a gate refused, 124 timeout, 130 interrupted.`,
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		SilenceErrors:              true,
		Annotations:                map[string]string{cobra.CommandDisplayNameAnnotation: streams.Called.Name()},
		Args:                       cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	if streams.Called.File != "" {
		root.Use = streams.Called.File // what scripts for shells complete
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return explain.Usagef("%w\nsee: %s --help", err, cmd.CommandPath())
	})
	for _, name := range []string{"kubeconfig", "context", "namespace", "as", "request-timeout"} {
		addConnectionFlag(root, f, name)
	}
	for _, g := range groups(f) {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, verb := range g.verbs {
			verb.GroupID = g.id
			root.AddCommand(verb)
		}
	}
	for _, topic := range topics.All() {
		root.AddCommand(&cobra.Command{Use: topic.Name, Short: topic.Title, Long: topic.Text})
	}
	root.SetHelpCommandGroupID(groupLook)
	root.InitDefaultHelpCmd() // a link may be named after it
	rename(root, streams.Called)
	addCompletion(f, root)
	return root
}

// groupLook has what is about the tool itself as well.
const groupLook = "look"

type group struct {
	id, title string
	verbs     []*cobra.Command
}

// groups are the verbs in the order in which they are met.
func groups(f *Factory) []group {
	return []group{
		{"start", "Start:", []*cobra.Command{NewCmdDemo(f), NewCmdInit(f), NewCmdDoctor(f), NewCmdSetup(f), NewCmdSandbox(f)}},
		{"develop", "Develop:", []*cobra.Command{
			NewCmdDev(f), NewCmdAttach(f), NewCmdVerify(f), NewCmdGenerations(f), NewCmdBack(f), NewCmdPull(f),
			newCmdDigest(f), NewCmdTargets(f), NewCmdWhyIgnored(f),
		}},
		{"run", "Run and validate:", []*cobra.Command{NewCmdRun(f), NewCmdRuns(f), NewCmdValidate(f), NewCmdDrift(f), NewCmdCatalog(f), NewCmdEdge(f)}},
		{"ship", "Ship:", []*cobra.Command{
			NewCmdRender(f), NewCmdDiff(f), NewCmdPromote(f), NewCmdHistory(f), NewCmdShow(f), NewCmdRollback(f),
			NewCmdUninstall(f), NewCmdClusters(f), NewCmdRBAC(f), NewCmdAgent(f), NewCmdServices(f),
		}},
		{groupLook, "Look:", []*cobra.Command{NewCmdStatus(f), NewCmdDashboard(f), NewCmdLogs(f), NewCmdWhy(f), NewCmdReport(f), newCmdExplain(f), newCmdVersion(f), NewCmdCompletion(f)}},
	}
}

// rename makes help name the program as the user called it.
func rename(cmd *cobra.Command, called term.Called) {
	cmd.Short, cmd.Long, cmd.Example = called.Say(cmd.Short), called.Say(cmd.Long), called.Say(cmd.Example)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { flag.Usage = called.Say(flag.Usage) })
	for _, verb := range cmd.Commands() {
		rename(verb, called)
	}
}

// addConnectionFlag offers one of kubectl's connection flags on every verb.
func addConnectionFlag(root *cobra.Command, f *Factory, name string) {
	scratch := &cobra.Command{}
	f.Flags.AddFlags(scratch.Flags())
	if flag := scratch.Flags().Lookup(name); flag != nil {
		root.PersistentFlags().AddFlag(flag)
	}
}

// unknownVerb explains a word that is no verb. A sentence is most likely
// meant for the plugin of the same name that talks to a language model.
func unknownVerb(cmd *cobra.Command, word string) error {
	if near := cmd.SuggestionsFor(word); len(near) > 0 && !strings.ContainsAny(word, " ?") {
		return explain.Usagef("unknown command %q: did you mean %s?\nsee: %s --help", word, strings.Join(near, ", "), cmd.CommandPath())
	}
	if cmd.HasParent() {
		return explain.Usagef("unknown command %q\nsee: %s --help", word, cmd.CommandPath())
	}
	found := "not found on PATH"
	if m, err := setup.ThisMachine(os.Args[0], cmd.Root().Name()); err == nil {
		if path, _ := m.Foreign(); path != "" {
			found = "found at " + path
		}
	}
	return explain.Usagef("unknown command %q looks like a prompt for GoogleCloudPlatform/kubectl-ai (%s), another plugin of this name; this one has no chat\nsee: %s --help", word, found, cmd.CommandPath())
}

// noArgs refuses arguments with the exit code for usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return explain.Usagef("%s takes no argument, got %q\nsee: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// atMostOne refuses a second argument with the exit code for usage.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return explain.Usagef("%s takes one argument at most, got %d\nsee: %s --help", cmd.CommandPath(), len(args), cmd.CommandPath())
	}
	return nil
}
