package command

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// TargetsOptions are the arguments of `targets`.
type TargetsOptions struct {
	Dir    string
	To     string
	Output string
}

// targetReport is what `targets -o json` prints.
type targetReport struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Overlay    string         `json:"overlay"`             // its folder, the full path
	MountPath  string         `json:"mountPath,omitempty"` // of the code; empty: each container's own workingDir
	Items      []targetAnswer `json:"items"`
}

type targetAnswer struct {
	Name       string          `json:"name"`               // Kind/name/container
	Template   string          `json:"template,omitempty"` // where in the object its pod template is
	Init       bool            `json:"init,omitempty"`
	Gets       bool            `json:"gets"` // the code
	MountPath  string          `json:"mountPath,omitempty"`
	WorkingDir string          `json:"workingDir,omitempty"`
	Reason     workload.Reason `json:"reason"`
	Named      string          `json:"named,omitempty"` // the entry of code[].targets that names it
}

// NewCmdTargets returns `kubectl ai targets`.
func NewCmdTargets(f *Factory) *cobra.Command {
	o := &TargetsOptions{}
	cmd := &cobra.Command{
		Use:   "targets [DIR]",
		Short: "Say which containers of a bundle get the code, and why",
		Long: `Renders an overlay and lists every container of its workloads: those that get the
code and those that do not, each with the reason.

A container gets the code when its workingDir is code[].mountPath of
kubectl-ai.yaml, or, without a mountPath, when it has a workingDir at all.
code[].targets, where given, replaces that rule: then those get the code that it
names, as Kind/name or Kind/name/container. Init containers are listed and never
get it. -o name prints those that get it.

Nothing is changed and no cluster is asked.

Exit codes: 0 some container gets the code, 2 none does, or one that
code[].targets names is not there.`,
		Example: `  kubectl ai targets samples/digits
  kubectl ai targets --to production -o json | jq '.items[] | select(.gets).name'`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(f)
		},
	}
	addOutput(cmd, &o.Output)
	addEnvironment(cmd, &o.To)
	to := cmd.Flags().Lookup("to")
	to.DefValue, to.Usage = project.Sandbox, "environment whose overlay is looked at"
	o.To = project.Sandbox
	return cmd
}

// Run renders, asks and prints. The list comes first where no container gets
// the code: it says why.
func (o *TargetsOptions) Run(f *Factory) error {
	p, err := project.Load(o.Dir)
	if err != nil {
		return err
	}
	env, err := p.Environment(o.To)
	if err != nil {
		return err
	}
	objects, err := bundle.Render(env.Overlay, bundle.Options{Remote: p.RemoteBases})
	if err != nil {
		return err
	}
	code := p.Code[0]
	choices, err := workload.Explain(objects, code.MountPath, code.Targets)
	if err != nil {
		return err
	}
	report := targetReport{APIVersion: outputVersion, Kind: "TargetReport", Overlay: env.Overlay, MountPath: code.MountPath, Items: []targetAnswer{}}
	var names []string
	for _, c := range choices {
		report.Items = append(report.Items, targetAnswer{
			Name: c.String(), Template: c.Path, Init: c.Reason == workload.InitContainer, Gets: c.Gets(),
			MountPath: c.MountPath, WorkingDir: c.Container.WorkingDir(), Reason: c.Reason, Named: c.Name,
		})
		if c.Gets() {
			names = append(names, c.String())
		}
	}
	if err := printAs(f.Streams.Out, o.Output, report, names, report.table); err != nil {
		return err
	}
	_, err = workload.Select(objects, code.MountPath, code.Targets)
	return err
}

func (r targetReport) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "CONTAINER\tCODE AT\tBECAUSE")
	for _, a := range r.Items {
		at := a.MountPath
		if !a.Gets {
			at = "-"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", a.Name, at, a.because(r.MountPath))
	}
	return t.Flush()
}

// because puts a reason into words.
func (a targetAnswer) because(mountPath string) string {
	switch a.Reason {
	case workload.WorkingDirIsMountPath:
		if mountPath == "" {
			return "it is its workingDir, and the project names no mountPath"
		}
		return "its workingDir is the mountPath"
	case workload.Named:
		return "code[].targets names " + a.Named
	case workload.NoWorkingDir:
		return "no workingDir"
	case workload.RootWorkingDir:
		return "code cannot cover / as a whole"
	case workload.WorkingDirElsewhere:
		return fmt.Sprintf("its workingDir is %s, the mountPath %s", a.WorkingDir, mountPath)
	case workload.NotNamed:
		return "code[].targets does not name it"
	case workload.InitContainer:
		return "an init container never gets it"
	}
	return string(a.Reason)
}
