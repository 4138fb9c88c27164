package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// releaseView is what `show -o json` prints: the record and what it brought.
type releaseView struct {
	release.Record
	Current bool        `json:"current"`
	Objects []apply.Ref `json:"objects"`
}

// NewCmdShow returns `kubectl ai show`.
func NewCmdShow(f *Factory) *cobra.Command {
	var to, output string
	var cluster []string
	number := 0
	cmd := &cobra.Command{
		Use:   "show [DIR] --to ENVIRONMENT",
		Short: "Show what a release is: code, images, who, when, objects",
		Long: `Prints what is recorded of a release, by default of the current one: the digests of
its code and of its objects, what proved the code and which gates it passed, the
images, who promoted it from where, and the objects that it brought. -o json prints the
same; -o yaml prints the objects themselves, as they were applied, with the values of
Secrets masked. Changes nothing.`,
		Example: `  kubectl ai show --to production
  kubectl ai show --to production --release 3 -o yaml`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return explain.Usagef("--to is missing: name the environment, such as --to production")
			}
			if cmd.Flags().Changed("release") && number < 1 {
				return explain.Usagef("--release %d: releases are numbered from 1", number)
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			return show(cmd.Context(), f, dirArg(args), to, cluster, number, output)
		},
	}
	addEnvironment(cmd, &to)
	addCluster(cmd, &cluster)
	addOutput(cmd, &output)
	cmd.Flags().IntVar(&number, "release", 0, "number of the release (default: the current one)")
	return cmd
}

func show(ctx context.Context, f *Factory, dir, to string, cluster []string, number int, output string) error {
	p, err := openProduction(ctx, f, dir, to, cluster)
	if err != nil {
		return err
	}
	state, err := p.Store.Load(ctx)
	if err != nil {
		return err
	}
	if number = cmp.Or(number, state.Current); number == 0 {
		return &release.NotFoundError{Project: p.project.Name, Namespace: p.namespace}
	}
	record, objects, err := p.Store.Get(ctx, number)
	if err != nil {
		return err
	}
	if output == "yaml" {
		list, mask := objectList{APIVersion: "v1", Kind: "List"}, redact.New()
		for _, obj := range objects {
			list.Items = append(list.Items, mask.Object(obj).Object)
		}
		return list.documents(f.Streams.Out)
	}
	view := releaseView{Record: record, Current: number == state.Current, Objects: []apply.Ref{}}
	var names []string
	for _, obj := range objects {
		view.Objects = append(view.Objects, apply.RefOf(obj))
		names = append(names, apply.RefOf(obj).Short())
	}
	return printAs(f.Streams.Out, output, view, names, view.table)
}

func (v releaseView) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { _, _ = fmt.Fprintf(t, "%s\t%v\n", name, value) }
	status := string(v.Status)
	if v.Current {
		status = "current"
	}
	line("release", v.Revision)
	line("status", status)
	if v.Reason != "" {
		line("reason", v.Reason)
	}
	if v.RollbackTo > 0 {
		line("rollback to", v.RollbackTo)
	}
	if v.From != "" {
		line("from", v.From)
	}
	line("code", v.TreeDigest)
	line("objects", v.BundleDigest)
	if e := v.Evidence; e != nil {
		proof := fmt.Sprintf("generation %d in %s, in %d ranks", e.Generation, e.Sandbox, e.Ranks)
		if e.Run != "" {
			proof = fmt.Sprintf("run %s in %s, in %s", e.Run, e.Sandbox, plural(e.Ranks, "rank"))
		}
		if e.Unproven != "" {
			proof = "unproven: " + e.Unproven
		}
		line("proof", proof)
		line("carrier", e.Carrier.Format)
		line("signed by", signedBy(e.Carrier.Statements))
	}
	for _, g := range v.Gates {
		line("gate", fmt.Sprintf("%s %s: %s", g.Kind, g.Name, g.Detail))
	}
	for _, r := range v.Replaced {
		line("replaced", fmt.Sprintf("%s: %s", r.Object, r.How))
	}
	line("who", v.Who)
	line("when", v.When.Format(time.RFC3339))
	line("where", fmt.Sprintf("%s, namespace %s, %s", v.Context, v.Namespace, v.Server))
	for _, target := range slices.Sorted(maps.Keys(v.Images)) {
		line("image of "+target, v.Images[target])
	}
	for _, ref := range v.Objects {
		line("object", ref)
	}
	return t.Flush()
}
