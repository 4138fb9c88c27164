package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
)

// componentView is what `catalog show -o json` prints.
type componentView struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	components.Component
	Files []string `json:"files"`
}

func newCmdCatalogShow(f *Factory) *cobra.Command {
	var output, variant string
	var files bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a component: its forms, what they need, memory, files",
		Long: `Prints the forms of a component, the kinds of other projects that they need and who
brings them, the memory that the local form's pods were measured to take, and what to
know about it. --files prints the files themselves, with their names. Changes nothing.`,
		Example: `  kubectl ai catalog show stream
  kubectl ai catalog show train --files --variant production-jobset`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return explain.Usagef("name one component\nsee: %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeComponents,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if files && output != "" {
				return explain.Usagef("--files prints the files as they are: leave out -o")
			}
			if variant != "" && !files {
				return explain.Usagef("--variant chooses which --files are printed")
			}
			c, err := components.Embedded().Get(args[0])
			if err != nil {
				return err
			}
			var folders []string
			if variant != "" {
				if _, err := c.Variant(variant); err != nil {
					return err
				}
				folders = append(folders, variant)
			}
			contents, err := c.Files(folders...)
			if err != nil {
				return err
			}
			view := componentView{APIVersion: outputVersion, Kind: "Component", Component: c, Files: slices.Sorted(maps.Keys(contents))}
			if files {
				return printFiles(f.Streams.Out, c.Name, view.Files, contents)
			}
			return printAs(f.Streams.Out, output, view, []string{c.Name}, view.table)
		},
	}
	addOutput(cmd, &output)
	cmd.Flags().BoolVar(&files, "files", false, "print the component's files")
	cmd.Flags().StringVar(&variant, "variant", "", "form whose files are printed (default: all)")
	return cmd
}

// printFiles prints files one after the other, as one YAML stream where all
// of them are YAML.
func printFiles(w io.Writer, component string, names []string, contents map[string][]byte) error {
	for i, name := range names {
		head := fmt.Sprintf("# %s/%s\n", component, name)
		if i > 0 {
			head = "---\n" + head
		}
		if _, err := fmt.Fprintf(w, "%s%s\n", head, strings.TrimRight(string(contents[name]), "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (v componentView) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { _, _ = fmt.Fprintf(t, "%s\t%v\n", name, value) }
	line("name", v.Name)
	line("what", v.Summary)
	for _, form := range v.Variants {
		line("form "+form.Folder, form.Summary)
		for _, n := range form.Needs {
			line("", fmt.Sprintf("needs %s (%s), brought by %s", n.Kind, n.Group, n.Operator))
		}
	}
	for _, image := range v.Images {
		line("image", image)
	}
	for _, p := range v.Footprint {
		line("memory of "+p.Pod, fmt.Sprintf("%d MiB idle, %d MiB with %s", p.IdleMiB, p.TestMiB, p.Test))
	}
	for _, note := range v.Notes {
		line("note", note)
	}
	for _, name := range v.Files {
		line("file", name)
	}
	return t.Flush()
}
