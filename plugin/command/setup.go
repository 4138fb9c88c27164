package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/setup"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// SetupOptions are the flags of `setup`.
type SetupOptions struct {
	Coexist bool
	Remove  bool
	DryRun  bool
	Dir     string
	Output  string

	verbs []string
	term.Streams
}

// setupView is what `setup -o json` prints.
type setupView struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Folder     string       `json:"folder,omitempty"`
	OnPath     bool         `json:"onPath"`
	DryRun     bool         `json:"dryRun,omitempty"`
	Links      []setup.Link `json:"links"`             // as they were found
	Changed    []string     `json:"changed,omitempty"` // paths that were written or removed
}

// NewCmdSetup returns `kubectl ai setup`.
func NewCmdSetup(f *Factory) *cobra.Command {
	o := &SetupOptions{Streams: f.Streams}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Link this plugin into kubectl: completion, and beside another of its name",
		Long: `Writes the link by which kubectl (1.26 and later) completes what follows kubectl ai:
kubectl_complete-ai, beside this program if that is on PATH and yours, else in the first
folder of PATH that you may write to, else in ~/.local/bin.

Another plugin has the name ai too: GoogleCloudPlatform/kubectl-ai. With --coexist each
verb gets a link of its own, such as kubectl-ai-sandbox: kubectl takes the longest name,
so that our verbs are found whichever of the two comes first on PATH, and everything
else goes to the other one.

A file that is not a link of this program is never written over or removed. Nothing is
recorded elsewhere: --remove finds the links by where they lead. No rights are needed
beyond yours.

Exit codes: 0 done, 2 usage, 3 no folder to write to, a name that is taken, or another
plugin of this name first on PATH.`,
		Example: `  kubectl ai setup
  kubectl ai setup --dry-run
  kubectl-ai setup --coexist         # beside GoogleCloudPlatform/kubectl-ai
  kubectl ai setup --remove`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			if o.Remove && o.Coexist {
				return explain.Usagef("--remove and --coexist exclude each other: --remove removes all links")
			}
			m, err := setup.ThisMachine(os.Args[0], cmd.Root().Name())
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if o.Remove {
				return o.remove(m)
			}
			if o.Coexist {
				o.verbs = verbs(cmd.Root())
			}
			return o.Run(m)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Coexist, "coexist", false, "write links for each verb, to live beside another plugin of this name")
	flags.BoolVar(&o.Remove, "remove", false, "remove the links again, all of them")
	flags.BoolVar(&o.DryRun, "dry-run", false, "print what would be done, and do nothing")
	flags.StringVar(&o.Dir, "dir", "", "folder that gets the links (default: the first on PATH that you may write to)")
	addOutput(cmd, &o.Output)
	cmd.Flags().Lookup("output").Usage = "output format: json, yaml or name (default: the links)"
	return cmd
}

// verbs returns the names of the verbs that a user may type.
func verbs(root *cobra.Command) []string {
	var names []string
	for _, cmd := range root.Commands() {
		if !cmd.Hidden && !cmd.IsAdditionalHelpTopicCommand() {
			names = append(names, cmd.Name())
		}
	}
	return names
}

// Run writes the links.
func (o *SetupOptions) Run(m setup.Machine) error {
	plan, err := m.Plan(o.Dir, o.verbs)
	if err != nil {
		return err
	}
	var written []setup.Link
	if o.DryRun {
		written = slices.DeleteFunc(slices.Clone(plan.Links), func(l setup.Link) bool { return l.State == setup.Present })
	} else if written, err = plan.Write(); err != nil {
		return err
	}
	view := setupView{Folder: plan.Folder, OnPath: plan.OnPath, Links: plan.Links}
	if err := o.print(view, written, "wrote"); err != nil {
		return err
	}
	if len(written) == 0 {
		o.Talk("nothing to do: %s", counted(len(plan.Links), "link is there", "links are there"))
	}
	if !plan.OnPath {
		o.Talk("%s is not on PATH: kubectl finds nothing there; add it, as in: export PATH=%q", plan.Folder, plan.Folder+string(os.PathListSeparator)+"$PATH")
	}
	if len(m.Programs(m.File)) == 0 {
		o.Talk("this program is not on PATH either: kubectl finds it when %s is", filepath.Dir(m.Program))
	}
	return nil
}

// counted says how many.
func counted(n int, one, more string) string {
	if n == 1 {
		return "the " + one
	}
	return fmt.Sprintf("all %d %s", n, more)
}

func (o *SetupOptions) remove(m setup.Machine) error {
	own := m.Own(o.Dir)
	if !o.DryRun {
		if err := setup.Remove(own); err != nil {
			return err
		}
	}
	if len(own) == 0 {
		o.Talk("there is no link of this program to remove")
	}
	return o.print(setupView{Links: own}, own, "removed")
}

func (o *SetupOptions) print(view setupView, changed []setup.Link, did string) error {
	view.APIVersion, view.Kind, view.DryRun = outputVersion, "Setup", o.DryRun
	if view.Links == nil {
		view.Links = []setup.Link{}
	}
	if o.DryRun {
		did = "would have " + map[string]string{"wrote": "written"}[did]
		if o.Remove {
			did = "would have removed"
		}
	}
	var names []string
	for _, l := range changed {
		names = append(names, l.Path)
	}
	view.Changed = names
	return printAs(o.Out, o.Output, view, names, func(w io.Writer) error {
		for _, l := range changed {
			if _, err := fmt.Fprintf(w, "%s %s -> %s\n", did, l.Path, l.Target); err != nil {
				return err
			}
		}
		return nil
	})
}
