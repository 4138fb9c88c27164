package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// WhyIgnoredOptions are the arguments of `why-ignored`.
type WhyIgnoredOptions struct {
	Dir    string
	Paths  []string
	Output string

	code     project.Code // from here on filled by Complete
	relative []string     // Paths as the tree has them
}

// ignoreReport is what `why-ignored -o json` prints.
type ignoreReport struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Code       string         `json:"code"`             // the folder, its full path
	Shadow     *tree.RuleAt   `json:"shadow,omitempty"` // ignores all of the code and does not count
	Items      []ignoreAnswer `json:"items"`
}

type ignoreAnswer struct {
	Asked    string       `json:"asked"`
	Path     string       `json:"path"` // relative to the code
	Included bool         `json:"included"`
	Cause    tree.Cause   `json:"cause"`
	Rule     *tree.RuleAt `json:"rule,omitempty"`
	Folder   string       `json:"folder,omitempty"` // that is ignored, and the path with it
	Reason   string       `json:"reason,omitempty"` // of a file that is held back
	Allow    string       `json:"allow,omitempty"`  // the pattern that lets it pass
}

// NewCmdWhyIgnored returns `kubectl ai why-ignored`.
func NewCmdWhyIgnored(f *Factory) *cobra.Command {
	o := &WhyIgnoredOptions{}
	cmd := &cobra.Command{
		Use:   "why-ignored PATH...",
		Short: "Say which rule keeps a file out of the code, or lets it in",
		Long: `Prints for every path whether it is part of the code that dev sends and promote
packages, and what decides: the rule with its file and line, a default, git that
tracks it, or that it is held back. What speaks first wins:

  1. code[].ignore in kubectl-ai.yaml
  2. .kubectl-ai-ignore files in the code, the deepest first
  3. what git tracks belongs
  4. git's rules: .gitignore files, the deepest first, up to the top of the
     repository; .git/info/exclude; core.excludesFile
  5. defaults, such as __pycache__/

Nothing comes back from a folder that is ignored. A file that belongs is held
back where its name is a secret's (.env, *.pem, id_rsa, kubeconfig …) or it has
more than 32 MiB, tracked or not, until a pattern such as !/server.pem in 1 or 2
names it.

Paths need not exist; one that ends in a slash is a folder. Files of rules are
named as seen from the code. "-" reads paths from stdin, one a line. Nothing is
changed and no cluster is asked.

Exit codes: 0 all paths are answered, whatever the answer, 2 usage, such as a
path outside of the code.`,
		Example: `  kubectl ai why-ignored src/model.ckpt
  kubectl ai why-ignored --dir samples/digits samples/digits/src/*
  git ls-files src | kubectl ai why-ignored -o json - | jq '.items[] | select(.included | not)'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Paths = args
			if err := o.Validate(); err != nil {
				return err
			}
			if err := o.Complete(f); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	cmd.Flags().StringVar(&o.Dir, "dir", "", "the bundle's folder (default: the nearest one with a kubectl-ai.yaml above the first path, else the working directory)")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// Validate checks the command line.
func (o *WhyIgnoredOptions) Validate() error {
	if len(o.Paths) == 0 {
		return explain.Usagef("name the paths to explain, such as: kubectl ai why-ignored src/model.ckpt")
	}
	return checkOutput(o.Output)
}

// Complete finds the code and the paths in it.
func (o *WhyIgnoredOptions) Complete(f *Factory) error {
	if len(o.Paths) == 1 && o.Paths[0] == "-" {
		o.Paths = nil
		lines := bufio.NewScanner(f.Streams.In)
		for lines.Scan() {
			if lines.Text() != "" {
				o.Paths = append(o.Paths, lines.Text())
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("read paths from stdin: %w", err)
		}
	}
	dir := o.Dir
	if dir == "" {
		dir = bundleAbove(o.Paths)
	}
	p, err := project.Load(dir)
	if err != nil {
		return err
	}
	o.code = p.Code[0]
	var errs []error
	for _, path := range o.Paths {
		rel, ok := inside(o.code.Path, path)
		if !ok {
			errs = append(errs, fmt.Errorf("%s is not in the code, %s", path, o.code.Path))
		}
		o.relative = append(o.relative, rel)
	}
	if err := errors.Join(errs...); err != nil {
		return explain.Usagef("%w", err)
	}
	return nil
}

// bundleAbove returns the nearest folder with a project file above the first
// path, else the working directory.
func bundleAbove(paths []string) string {
	if len(paths) == 0 {
		return "."
	}
	abs, err := filepath.Abs(paths[0])
	if err != nil {
		return "."
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(filepath.Join(dir, project.FileName)); err == nil && info.Mode().IsRegular() {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return "."
		}
	}
}

// inside returns path as seen from root, which it must not leave. A slash at
// its end stays.
func inside(root, path string) (string, bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil || !filepath.IsLocal(rel) { // perhaps the same place by another name
		above, errAbove := filepath.EvalSymlinks(filepath.Dir(abs))
		real, errReal := filepath.EvalSymlinks(root)
		if errAbove != nil || errReal != nil {
			return "", false
		}
		if rel, err = filepath.Rel(real, filepath.Join(above, filepath.Base(abs))); err != nil || !filepath.IsLocal(rel) {
			return "", false
		}
	}
	if rel = filepath.ToSlash(rel); rel != "." && strings.HasSuffix(filepath.ToSlash(path), "/") {
		rel += "/"
	}
	return rel, true
}

// Run explains the paths.
func (o *WhyIgnoredOptions) Run(ctx context.Context, f *Factory) error {
	found, err := tree.Explain(ctx, o.code.Path, treeOptions(o.code), o.relative)
	if err != nil {
		return err
	}
	report := ignoreReport{APIVersion: outputVersion, Kind: "IgnoreReport", Code: o.code.Path, Shadow: found.Shadow, Items: []ignoreAnswer{}}
	for i, x := range found.Paths {
		a := ignoreAnswer{Asked: o.Paths[i], Path: x.Path, Included: x.Included, Cause: x.Cause, Rule: x.Rule, Folder: x.Folder}
		if x.Held != nil {
			a.Reason, a.Allow = x.Held.Reason, x.Held.Allow
		}
		report.Items = append(report.Items, a)
	}
	if found.Git != nil {
		f.Streams.Talk("%v: none is taken as tracked", found.Git)
	}
	if found.Shadow != nil {
		f.Streams.Talk("the repository ignores the code as a whole (%v); it was named as code, so its rules from above do not count", found.Shadow)
	}
	var names []string
	for _, a := range report.Items {
		if a.Included {
			names = append(names, a.Path)
		}
	}
	return printAs(f.Streams.Out, o.Output, report, names, report.table)
}

func (r ignoreReport) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "PATH\tSENT\tBECAUSE")
	for _, a := range r.Items {
		sent := "no"
		if a.Included {
			sent = "yes"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", a.Asked, sent, a.because())
	}
	return t.Flush()
}

// because puts an answer into words.
func (a ignoreAnswer) because() string {
	switch a.Cause {
	case tree.NoRule:
		return "no rule names it"
	case tree.ByTracking:
		return fmt.Sprintf("git tracks it, in spite of %v", a.Rule)
	case tree.ByHolding:
		return fmt.Sprintf("held back: it %s; to send it, put %s into %s", a.Reason, a.Allow, tree.IgnoreFile)
	case tree.Never:
		return "never sent"
	case tree.NotAFile:
		return "neither a file nor a link"
	case tree.BeyondALink:
		return a.Folder + " is a link, which is not followed"
	case tree.BelowAFile:
		return a.Folder + " is no folder"
	}
	if a.Folder != "" {
		return fmt.Sprintf("%v (the folder %s)", a.Rule, a.Folder)
	}
	return a.Rule.String()
}
