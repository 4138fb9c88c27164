package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// objectList is what `render -o json` prints: a List of core/v1, which
// kubectl apply takes.
type objectList struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Items      []any  `json:"items"`
}

// NewCmdRender returns `kubectl ai render`.
func NewCmdRender(f *Factory) *cobra.Command {
	var environment, output string
	cmd := &cobra.Command{
		Use:   "render [DIR] -e ENVIRONMENT",
		Short: "Print the objects of an environment",
		Long: `Builds the environment's overlay in this process, as kubectl kustomize would,
without exec plugins and remote bases, and adds what distributed training looks for
(RANK, WORLD_SIZE, MASTER_ADDR, ...) where the bundle does not set it. No cluster,
registry or container engine is asked, and nothing is changed.

What depends on them comes later: promote --dry-run shows the objects with the code,
images by digest and the names of the runs.`,
		Example: `  kubectl ai render samples/digits -e production
  kubectl ai render -e sandbox -o name`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			r, err := render(f, dirArg(args), environment)
			if err != nil {
				return err
			}
			list := objectList{APIVersion: "v1", Kind: "List", Items: []any{}}
			var names []string
			for _, obj := range r.objects {
				list.Items = append(list.Items, obj.Object)
				names = append(names, workload.Name(obj))
			}
			return printAs(f.Streams.Out, output, list, names, list.documents)
		},
	}
	addOutput(cmd, &output)
	cmd.Flags().Lookup("output").Usage = "output format: json, yaml or name (default: YAML documents)"
	cmd.Flags().StringVarP(&environment, "environment", "e", project.Sandbox, "environment of the bundle")
	return cmd
}

// documents writes the objects as a YAML stream.
func (l objectList) documents(w io.Writer) error {
	for i, item := range l.Items {
		raw, err := yaml.Marshal(item)
		if err != nil {
			return err
		}
		if i > 0 {
			raw = append([]byte("---\n"), raw...)
		}
		if _, err := w.Write(raw); err != nil {
			return fmt.Errorf("write the objects: %w", err)
		}
	}
	return nil
}
