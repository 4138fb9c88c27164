package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/catalog"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// NewCmdCatalog returns `kubectl ai catalog`.
func NewCmdCatalog(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "List and add components: training, data, serving, monitoring and what they stand on",
		Long: `Components of a machine-learning life cycle, as plain kustomize. Each has a form that
runs in a sandbox and production forms with the same names, ports, labels and
environment variables, so that code does not change.

What is added to a bundle is the bundle's own from then on. Operators are never
installed: list says which one brings a kind that a cluster lacks.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newCmdCatalogList(f), newCmdCatalogShow(f), newCmdCatalogAdd(f))
	return cmd
}

// completeComponents completes the first argument with components' names.
func completeComponents(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	list, err := components.Embedded().List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, c := range list {
		names = append(names, c.Name+"\t"+c.Summary)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CatalogListOptions are the arguments of `catalog list`.
type CatalogListOptions struct {
	Dir         string
	Environment string
	Cluster     []string
	Output      string
}

// catalogItem is a component as `catalog list -o json` prints it.
type catalogItem struct {
	components.Component
	Standing *catalog.Standing `json:"standing,omitempty"`
}

type catalogList struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Context    string        `json:"context,omitempty"`
	Namespace  string        `json:"namespace,omitempty"`
	Items      []catalogItem `json:"items"`
}

func newCmdCatalogList(f *Factory) *cobra.Command {
	o := &CatalogListOptions{}
	cmd := &cobra.Command{
		Use:     "list [DIR]",
		Aliases: []string{"ls"},
		Short:   "List the components, and with -e or --context what a cluster has of them",
		Long: `Lists the components with their forms and the memory that the local one was measured
to take. With -e it asks the cluster of that environment of the bundle, with --context
a cluster by itself:

  installed   objects of the component are in the namespace
  absent      none are, and the form would be taken
  blocked     none are, and the cluster does not serve a kind; its operator is named

The form is the one that the environment's overlay takes, else local for the sandbox
and production elsewhere. Changes nothing.`,
		Example: `  kubectl ai catalog list
  kubectl ai catalog list -e production
  kubectl ai catalog list --context kind-ai -n default -o json`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			o.Dir = dirArg(args)
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	addCluster(cmd, &o.Cluster)
	cmd.Flags().StringVarP(&o.Environment, "environment", "e", "", "environment of the bundle whose cluster is asked")
	return cmd
}

// Run prints the list.
func (o *CatalogListOptions) Run(ctx context.Context, f *Factory) error {
	list, err := components.Embedded().List()
	if err != nil {
		return err
	}
	view := catalogList{APIVersion: outputVersion, Kind: "ComponentList", Items: make([]catalogItem, len(list))}
	var names []string
	for i, c := range list {
		view.Items[i].Component = c
		names = append(names, c.Name)
	}
	asked := f.Flags.Context != nil && *f.Flags.Context != ""
	if o.Environment != "" || asked {
		forms := catalog.Forms{Default: components.Production}
		if view.Context, view.Namespace, err = o.cluster(f, &forms); err != nil {
			return err
		}
		config, err := f.RESTConfig(view.Context)
		if err != nil {
			return err
		}
		client, err := apply.New(config)
		if err != nil {
			return err
		}
		states, err := catalog.States(ctx, client, view.Namespace, list, forms)
		if err != nil {
			return err
		}
		for i, c := range list {
			standing := states[c.Name]
			view.Items[i].Standing = &standing
		}
	}
	return printAs(f.Streams.Out, o.Output, view, names, view.table)
}

// cluster finds the context and the namespace that are meant, and the forms
// that the environment takes.
func (o *CatalogListOptions) cluster(f *Factory, forms *catalog.Forms) (kubeContext, namespace string, err error) {
	if o.Environment == "" {
		if namespace = f.Namespace(); namespace == "" {
			namespace = "default"
		}
		return *f.Flags.Context, namespace, nil
	}
	p, err := project.Load(o.Dir)
	if err != nil {
		return "", "", err
	}
	env, err := p.Environment(o.Environment)
	if err != nil {
		return "", "", err
	}
	chosen, err := chooseClusters(f, env, o.Cluster)
	if err != nil {
		return "", "", err
	}
	if len(chosen) > 1 {
		return "", "", explain.Usagef("environment %s has %d clusters: choose one with --cluster", env.Name, len(chosen))
	}
	objects, err := bundle.Render(env.Overlay, bundle.Options{Remote: p.RemoteBases})
	if err != nil {
		return "", "", err
	}
	if forms.Taken, err = catalog.Taken(env.Overlay); err != nil {
		return "", "", err
	}
	if o.Environment == project.Sandbox {
		forms.Default = components.Local
	}
	candidates := []string{f.Namespace(), env.Namespace}
	for _, obj := range objects {
		candidates = append(candidates, obj.GetNamespace())
	}
	i := slices.IndexFunc(candidates, func(s string) bool { return s != "" })
	if i < 0 {
		return chosen[0].Context, "default", nil
	}
	return chosen[0].Context, candidates[i], nil
}

func (l catalogList) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	state := ""
	if l.Context != "" {
		state = "\tVERSION\tSTATE"
	}
	_, _ = fmt.Fprintf(t, "NAME\tLOCAL TWIN\tPRODUCTION FORM\tFOOTPRINT%s\n", state)
	for _, item := range l.Items {
		if s := item.Standing; s != nil {
			state = fmt.Sprintf("\t%s\t%s", dash(strings.Join(s.Versions, ", ")), say(*s))
		}
		local, _ := item.Variant(components.Local)
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s%s\n", item.Name, local.Summary, productionForms(item.Component), footprint(item.Component), state)
	}
	return t.Flush()
}

// say puts a state into words.
func say(s catalog.Standing) string {
	switch s.State {
	case catalog.Installed:
		return fmt.Sprintf("installed (%d objects)", s.Objects)
	case catalog.Blocked:
		var kinds, operators []string
		for _, n := range s.Missing {
			kinds = append(kinds, n.Kind)
			if n.Operator != "" && !slices.Contains(operators, n.Operator) {
				operators = append(operators, n.Operator)
			}
		}
		words := "blocked: no " + strings.Join(kinds, ", ")
		if len(operators) > 0 {
			words += "; brought by " + strings.Join(operators, " and ")
		}
		return words
	}
	return string(s.State)
}

// productionForms says what the default form is and names the others.
func productionForms(c components.Component) string {
	main, _ := c.Variant(components.Production)
	var others []string
	for _, v := range c.Variants {
		if other, ok := strings.CutPrefix(v.Folder, components.Production+"-"); ok {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		return main.Summary
	}
	return main.Summary + "; or " + strings.Join(others, ", ")
}

// footprint sums up what the local form's pods were measured to take.
func footprint(c components.Component) string {
	idle, busy := 0, 0
	for _, p := range c.Footprint {
		idle += p.IdleMiB
		busy += p.TestMiB
	}
	switch {
	case len(c.Images) == 0:
		return "none"
	case idle == 0 && slices.ContainsFunc(c.Images, func(image string) bool { return strings.HasPrefix(image, "python:") }):
		return "your code's"
	case idle == 0:
		return "not measured"
	case idle == busy:
		return fmt.Sprintf("%d MiB", idle)
	}
	return fmt.Sprintf("%d-%d MiB", idle, busy)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// CatalogAddOptions are the arguments of `catalog add`.
type CatalogAddOptions struct {
	Name    string
	Dir     string
	Variant string
	Output  string
}

// addedView is what `catalog add -o json` prints.
type addedView struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Component  string   `json:"component"`
	Variant    string   `json:"variant"` // of production
	Written    []string `json:"written"`
	Unchanged  []string `json:"unchanged,omitempty"`
	Edited     []string `json:"edited"`
	Lacks      []string `json:"lacks,omitempty"` // programs that its containers start and the code has not
}

func newCmdCatalogAdd(f *Factory) *cobra.Command {
	o := &CatalogAddOptions{}
	cmd := &cobra.Command{
		Use:   "add NAME [DIR]",
		Short: "Copy a component into a bundle and name it in its overlays",
		Long: `Copies the local form and a production form of a component to components/NAME of the
bundle in DIR, and adds them to the components of overlays/sandbox and
overlays/production, whose other lines stay as they are. Adding another --variant takes
the place of the one before.

The files are the bundle's from then on. One that was changed there is never written
over, and when an overlay would not render, nothing is changed. No cluster is asked.`,
		Example: `  kubectl ai catalog add train
  kubectl ai catalog add train samples/digits --variant production-jobset`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return explain.Usagef("name a component, and the bundle's folder if it is another than this one\nsee: %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeComponents,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			o.Name, o.Dir = args[0], dirArg(args[1:])
			return o.Run(f)
		},
	}
	addOutput(cmd, &o.Output)
	cmd.Flags().Lookup("output").Usage = "output format: json, yaml or name (default: the files)"
	cmd.Flags().StringVar(&o.Variant, "variant", components.Production, "production form that the overlay of production takes")
	_ = cmd.RegisterFlagCompletionFunc("variant", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var forms []string
		if len(args) > 0 {
			c, _ := components.Embedded().Get(args[0])
			for _, v := range c.Variants {
				if v.Folder != components.Local {
					forms = append(forms, v.Folder+"\t"+v.Summary)
				}
			}
		}
		return forms, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// Run adds the component.
func (o *CatalogAddOptions) Run(f *Factory) error {
	c, err := components.Embedded().Get(o.Name)
	if err != nil {
		return err
	}
	form, err := c.Variant(o.Variant)
	if err != nil {
		return err
	}
	if form.Folder == components.Local {
		return explain.Usagef("--variant local: the overlay of the sandbox takes it anyway; name a production form")
	}
	p, err := project.Load(o.Dir)
	if err != nil {
		return err
	}
	var overlays []catalog.Overlay
	for _, e := range []struct{ environment, form string }{{project.Sandbox, components.Local}, {project.Production, form.Folder}} {
		if env, ok := p.Environments[e.environment]; ok {
			overlays = append(overlays, catalog.Overlay{Environment: e.environment, Dir: env.Overlay, Variant: e.form})
		}
	}
	added, err := catalog.Add(p.Dir, c, overlays, bundle.Options{Remote: p.RemoteBases})
	if err != nil {
		return err
	}
	view := addedView{APIVersion: outputVersion, Kind: "Added", Component: c.Name, Variant: form.Folder, Written: added.Written, Unchanged: added.Unchanged, Edited: added.Edited}
	if view.Lacks, err = lacking(c, p.Code[0]); err != nil {
		return err
	}
	if len(added.Written)+len(added.Edited) == 0 {
		f.Streams.Talk("%s is in the bundle already", c.Name)
	} else {
		f.Streams.Talk("%s: %d files written, %d as they were", c.Name, len(added.Written), len(added.Unchanged))
	}
	for _, overlay := range overlays {
		f.Streams.Talk("  %s takes components/%s/%s", overlay.Environment, c.Name, overlay.Variant)
	}
	for _, program := range view.Lacks {
		f.Streams.Talk("  it starts %s, which %s does not have", program, p.Code[0].Path)
	}
	for _, n := range form.Needs {
		f.Streams.Talk("  production needs %s (%s), which %s brings", n.Kind, n.Group, n.Operator)
	}
	for _, note := range c.Notes {
		f.Streams.Talk("  %s", note)
	}
	f.Streams.Talk("next: kubectl ai diff --between sandbox,production, then kubectl ai dev")
	return printAs(f.Streams.Out, o.Output, view, append(slices.Clone(added.Written), added.Edited...), func(w io.Writer) error {
		for _, name := range append(slices.Clone(added.Written), added.Edited...) {
			if _, err := fmt.Fprintln(w, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// lacking returns the programs that the local form's containers start from the
// code's folder and that are not in it.
func lacking(c components.Component, code project.Code) ([]string, error) {
	objects, err := c.Render(components.Local)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, obj := range objects {
		templates, err := workload.Templates(obj)
		if err != nil {
			return nil, err
		}
		for _, t := range templates {
			for _, container := range t.Containers() {
				for _, word := range container.Command() {
					if container.WorkingDir() == "" || !strings.HasSuffix(word, ".py") || slices.Contains(out, word) {
						continue
					}
					if _, err := os.Stat(filepath.Join(code.Path, word)); err != nil {
						out = append(out, word)
					}
				}
			}
		}
	}
	return out, nil
}
