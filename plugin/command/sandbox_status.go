package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

// SandboxStatusOptions are the flags of `sandbox status`.
type SandboxStatusOptions struct {
	Name   string
	Output string
}

func newCmdSandboxStatus(f *Factory) *cobra.Command {
	o := &SandboxStatusOptions{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show a sandbox: nodes, readiness, GPUs, registry, context",
		Long: `Show a sandbox: its nodes, whether they are ready and how many GPUs pods can have,
its registry and its kubeconfig context. Changes nothing. A stopped sandbox is
no error.`,
		Example: `  kubectl ai sandbox status
  kubectl ai sandbox status --name team -o json | jq -r .state`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addSandboxName(cmd, f, &o.Name)
	addOutput(cmd, &o.Output)
	return cmd
}

// Run prints the status.
func (o *SandboxStatusOptions) Run(ctx context.Context, f *Factory) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	c, err := s.Get(ctx, o.Name)
	if err != nil {
		return err
	}
	view := viewOf(c)
	view.Engine = s.Engine.Name
	if e, ok := endpoint(c.Mark); ok {
		answers := registry.Answers(ctx, e)
		view.Registry.Answers = &answers
	}
	if c.State != cluster.Stopped {
		statuses, err := cluster.NodeStatuses(ctx, c)
		var silent *cluster.StoppedError
		if err != nil && !errors.As(err, &silent) {
			return err
		}
		if err != nil {
			f.Streams.Talk("the API server does not answer: readiness is unknown")
		}
		view.join(statuses)
	}
	return printAs(f.Streams.Out, o.Output, view, []string{"sandbox/" + c.Name}, func(w io.Writer) error {
		return printStatus(w, view, time.Since(c.Mark.Created))
	})
}

// join adds what Kubernetes says of the nodes.
func (v *sandboxView) join(statuses map[string]cluster.NodeStatus) {
	for i := range v.Nodes {
		if s, ok := statuses[v.Nodes[i].Name]; ok {
			v.Nodes[i].Ready, v.Nodes[i].GPUs, v.Nodes[i].Kubernetes = &s.Ready, &s.GPUs, s.Kubernetes
		}
	}
}

func printStatus(w io.Writer, v sandboxView, age time.Duration) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	line := func(label, format string, args ...any) {
		_, _ = fmt.Fprintf(t, label+"\t"+format+"\n", args...)
	}
	line("Sandbox:", "%s", v.Name)
	line("State:", "%s, made %s ago", v.State, duration.HumanDuration(age))
	line("Context:", "%s", v.Context)
	line("Kubernetes:", "%s, image %s, on %s", orNone(v.Kubernetes), v.Image, v.Engine)
	switch v.GPUs.Mode {
	case "none":
		line("GPUs:", "none")
	default:
		line("GPUs:", "%s, %s", v.GPUs.equipment(), nature(v.GPUs.Mode))
	}
	switch {
	case v.Registry == nil:
		line("Registry:", "none")
	case *v.Registry.Answers:
		line("Registry:", "%s, answers", v.Registry.Host)
	default:
		line("Registry:", "%s, does not answer", v.Registry.Host)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	_, _ = fmt.Fprintln(t, "NODE\tROLE\tREADY\tADDRESS\tNVIDIA.COM/GPU")
	for _, n := range v.Nodes {
		ready, gpus := "unknown", "unknown"
		switch {
		case !n.Running:
			ready, gpus = "stopped", "-"
		case n.Ready != nil:
			ready, gpus = map[bool]string{true: "yes", false: "no"}[*n.Ready], fmt.Sprint(*n.GPUs)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", n.Name, n.Role, ready, orDash(n.Address), gpus)
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
