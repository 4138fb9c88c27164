package command

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// DiffOptions are the arguments of `diff`.
type DiffOptions struct {
	Dir        string
	Between    []string
	Releases   []int
	To         string
	Cluster    []string
	Unexpected bool
	ExitCode   bool
	Output     string
}

// differenceReport is what `diff --between -o json` prints.
type differenceReport struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	A          string              `json:"a"`
	B          string              `json:"b"`
	Items      []bundle.Difference `json:"items"`
}

// NewCmdDiff returns `kubectl ai diff`.
func NewCmdDiff(f *Factory) *cobra.Command {
	o := &DiffOptions{}
	cmd := &cobra.Command{
		Use:   "diff [DIR] (--to ENVIRONMENT [--releases A,B] | --between A,B)",
		Short: "Show what a promotion would change, or how environments or releases differ",
		Long: `With --to it asks the environment's cluster what a promotion would change there, by
a server-side dry run, so that defaults and what webhooks do are on both sides.
Nothing is applied or pushed, and code that nothing proves is compared all the same.

With --to and --releases it compares what two releases applied, as it is recorded
there; a Job with its former generation.

With --between it lists every field in which the objects of two environments of the
bundle differ, each once, and says of each whether environments are there to differ
in it: scale, resources, images, storage, placement, names and hosts are; command,
environment, mounts, security, network and whole objects are not, since then what
was tried is not what will run. Objects are matched without the overlay's prefix and
suffix and without the hash of generated ConfigMaps. No cluster is asked.

Values of Secrets are masked; equal ones look equal.

Exit codes: 0 done, 2 usage, 5 with --exit-code when something differs.`,
		Example: `  kubectl ai diff samples/digits --between sandbox,production
  kubectl ai diff --between sandbox,production --unexpected --exit-code
  kubectl ai diff --to production
  kubectl ai diff --to production --releases 3,4`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addEnvironment(cmd, &o.To)
	addCluster(cmd, &o.Cluster)
	cmd.Flags().StringSliceVar(&o.Between, "between", nil, "two environments of the bundle, such as sandbox,production")
	cmd.Flags().IntSliceVar(&o.Releases, "releases", nil, "numbers of two releases, such as 3,4")
	cmd.Flags().BoolVar(&o.Unexpected, "unexpected", false, "with --between: only what environments should not differ in")
	cmd.Flags().BoolVar(&o.ExitCode, "exit-code", false, "exit 5 when something differs")
	addOutput(cmd, &o.Output)
	return cmd
}

// Validate checks the flags.
func (o *DiffOptions) Validate() error {
	switch {
	case len(o.Between) > 0 && (o.To != "" || len(o.Releases) > 0):
		return explain.Usagef("--between compares two overlays, --to asks a cluster: one of them, please")
	case len(o.Between) == 0 && o.To == "":
		return explain.Usagef("--to or --between is missing: name an environment, or two")
	case len(o.Between) > 0 && (len(o.Between) != 2 || o.Between[0] == "" || o.Between[1] == ""):
		return explain.Usagef("--between takes two environments, such as sandbox,production")
	case len(o.Releases) > 0 && (len(o.Releases) != 2 || o.Releases[0] < 1 || o.Releases[1] < 1):
		return explain.Usagef("--releases takes two numbers, such as 3,4")
	case o.Unexpected && len(o.Between) == 0:
		return explain.Usagef("--unexpected goes with --between")
	}
	return checkOutput(o.Output)
}

// Run compares what it was asked to.
func (o *DiffOptions) Run(ctx context.Context, f *Factory) error {
	switch {
	case len(o.Between) > 0:
		return o.environments(f)
	case len(o.Releases) > 0:
		return o.releases(ctx, f)
	}
	return o.live(ctx, f)
}

// environments renders two environments and compares them.
func (o *DiffOptions) environments(f *Factory) error {
	p, err := project.Load(o.Dir)
	if err != nil {
		return err
	}
	var sides [2]bundle.Side
	for i, name := range o.Between {
		env, err := p.Environment(name)
		if err != nil {
			return err
		}
		if sides[i], err = bundle.Open(env.Overlay, bundle.Options{Remote: p.RemoteBases}); err != nil {
			return err
		}
	}
	report := differenceReport{APIVersion: outputVersion, Kind: "DifferenceReport", A: o.Between[0], B: o.Between[1], Items: []bundle.Difference{}}
	var names []string
	expected := 0
	for _, d := range bundle.Compare(sides[0], sides[1], redact.New().Object) {
		if d.Expected {
			expected++
			if o.Unexpected {
				continue
			}
		}
		report.Items = append(report.Items, d)
		names = append(names, strings.TrimSpace(d.Object+" "+d.Field))
	}
	if err := printAs(f.Streams.Out, o.Output, report, names, report.table); err != nil {
		return err
	}
	unexpected := len(report.Items)
	if !o.Unexpected {
		unexpected -= expected
	}
	f.Streams.Talk("%s and %s: %d that should not differ, %d that may", report.A, report.B, unexpected, expected)
	if o.ExitCode && len(report.Items) > 0 {
		return &explain.DifferenceError{A: "environment " + report.A, B: "environment " + report.B, Count: len(report.Items)}
	}
	return nil
}

func (r differenceReport) table(w io.Writer) error {
	if len(r.Items) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "MAY DIFFER\tCLASS\tOBJECT\tFIELD\t%s\t%s\n", strings.ToUpper(r.A), strings.ToUpper(r.B))
	for _, d := range r.Items {
		may := "no"
		if d.Expected {
			may = "yes"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", may, d.Class, cmp.Or(d.Object, "-"), cmp.Or(d.Field, "-"), leaf(d.A), leaf(d.B))
	}
	return t.Flush()
}

// leaf is a value in a cell: one line, a dash for none.
func leaf(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if v != "" && !strings.ContainsAny(v, "\n\t") {
			return v
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}
