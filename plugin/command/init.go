package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
)

// InitOptions are the arguments of `init`.
type InitOptions struct {
	Dir      string
	Template string
	Name     string
	Entry    string
	DryRun   bool
	Output   string
}

// initView is what `init -o json` prints.
type initView struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Name       string             `json:"name"`
	Dir        string             `json:"dir"`
	DryRun     bool               `json:"dryRun,omitempty"`
	Files      []string           `json:"files"`             // new ones, below dir
	Adopted    []string           `json:"adopted,omitempty"` // that were there, and are as they were
	Found      []scaffold.Finding `json:"found"`
	Image      string             `json:"image,omitempty"`
	Needs      []scaffold.Package `json:"needs,omitempty"` // packages that the image has to bring
	Missing    []string           `json:"missing,omitempty"`
	Next       []string           `json:"next"`
}

// NewCmdInit returns `kubectl ai init`.
func NewCmdInit(f *Factory) *cobra.Command {
	o := &InitOptions{}
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make a bundle out of a training project, or from a template",
		Long: `Finds out how the project in DIR is started, what its code imports, which image it runs
in and whether it asks for GPUs, and adds what a bundle takes: kubectl-ai.yaml, base/ and
overlays/ for sandbox and production. Everything that was found is said with its place.

The entry point is what the Dockerfile runs, else a launch line (torchrun, accelerate,
deepspeed, python) of a script, Makefile or README, else a script of pyproject.toml that
trains, else a package with a __main__, else the file that is called train.py or main.py
or has the look of training; --entry names it where several could be meant. A Dockerfile
becomes the runtime image, a kustomization is taken as it is. Where packages are needed
and there is no Dockerfile, one is added that installs them, from requirements.txt,
pyproject.toml (pip, uv, Poetry), Pipfile, environment.yml, or else from the imports.

No file is ever written over, and when something is in the way nothing is written. No
cluster, registry or container engine is asked.`,
		Example: `  kubectl ai init
  kubectl ai init ~/src/nanoGPT --dry-run
  kubectl ai init --template digits      # a new folder, digits`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			if o.Template != "" && (o.Entry != "" || o.Name != "") {
				return explain.Usagef("--template brings its own code: --entry and --name are of projects")
			}
			o.Dir = dirArg(args)
			if o.Template != "" && len(args) == 0 {
				o.Dir = o.Template
			}
			return o.Run(f)
		},
	}
	addOutput(cmd, &o.Output)
	cmd.Flags().Lookup("output").Usage = "output format: json, yaml or name (default: the files)"
	cmd.Flags().StringVar(&o.Template, "template", "", "copy this template into DIR, a folder of its name by default")
	cmd.Flags().StringVar(&o.Name, "name", "", "name of the project and its objects (default: the folder's)")
	cmd.Flags().StringVar(&o.Entry, "entry", "", "script or module that trains, such as tools/finetune.py (default: it is found out)")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "print the files and write none")
	_ = cmd.RegisterFlagCompletionFunc("template", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names, about := scaffold.Templates()
		for i, name := range names {
			names[i] = name + "\t" + about[name]
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// Run plans the bundle and writes it.
func (o *InitOptions) Run(f *Factory) error {
	plan, err := o.plan()
	if err != nil {
		return err
	}
	if !o.DryRun {
		if err := plan.Write(o.Dir); err != nil {
			return err
		}
	}
	view := initView{
		APIVersion: outputVersion, Kind: "Initialized", Name: plan.Name, Dir: o.Dir, DryRun: o.DryRun,
		Files: plan.Paths(), Adopted: plan.Adopted, Found: plan.Findings,
		Image: plan.Image, Needs: plan.Needs, Missing: plan.Missing, Next: plan.Next(o.Dir),
	}
	view.say(f)
	return printAs(f.Streams.Out, o.Output, view, view.Files, func(w io.Writer) error {
		for _, file := range plan.Files {
			text := file.Path + "\n"
			if o.DryRun {
				text = fmt.Sprintf("# %s\n%s\n", file.Path, file.Content)
			}
			if _, err := io.WriteString(w, text); err != nil {
				return fmt.Errorf("write the files' names: %w", err)
			}
		}
		return nil
	})
}

func (o *InitOptions) plan() (*scaffold.Plan, error) {
	if o.Template != "" {
		return scaffold.FromTemplate(o.Template)
	}
	root, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the project: %w", err)
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil, explain.Usagef("%s is no folder: name that of the training project, or start from a template with --template", o.Dir)
	}
	options := scaffold.Options{
		Name: o.Name, Entry: o.Entry,
		Render: func(dir string) ([]*unstructured.Unstructured, error) {
			return bundle.Render(filepath.Join(root, filepath.FromSlash(dir)), bundle.Options{})
		},
	}
	if options.Name == "" {
		options.Name = filepath.Base(root)
	}
	return scaffold.Make(os.DirFS(root), options)
}

// say tells what was found and what comes next.
func (v initView) say(f *Factory) {
	what, value := 0, 0
	for _, found := range v.Found {
		what, value = max(what, len(found.What)), max(value, len(found.Value))
	}
	for _, found := range v.Found {
		f.Streams.Talk("%-*s  %-*s  %s", what, found.What, min(value, 40), found.Value, found.Where)
	}
	if len(v.Adopted) > 0 {
		f.Streams.Talk("%-*s  %s", what, "as it was", strings.Join(v.Adopted, ", "))
	}
	verb := "written"
	if v.DryRun {
		verb = "would be written"
	}
	f.Streams.Talk("%s: %d files %s", v.Name, len(v.Files), verb)
	for _, m := range v.Missing {
		f.Streams.Talk("missing: %s", m)
	}
	for i, next := range v.Next {
		label := "      "
		if i == 0 {
			label = "next: "
		}
		f.Streams.Talk("%s%s", label, next)
	}
}
