package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage"
)

// SandboxImageListOptions are the flags of `sandbox image list`.
type SandboxImageListOptions struct {
	Output string

	now func() time.Time
	term.Streams
}

func newCmdSandboxImageList(f *Factory) *cobra.Command {
	o := &SandboxImageListOptions{Streams: f.Streams, now: time.Now}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the node images that were built on this machine",
		Long: `List the node images that sandbox image build has made in the container engine,
newest first. Changes nothing.`,
		Example: `  kubectl ai sandbox image list
  kubectl ai sandbox image list -o name`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	addOutput(cmd, &o.Output)
	return cmd
}

// sandboxImageList is what `sandbox image list -o json` prints.
type sandboxImageList struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Items      []sandboxImageView `json:"items"`
}

type sandboxImageView struct {
	References []string  `json:"references"`
	ID         string    `json:"id"`
	Kubernetes string    `json:"kubernetes"`
	Created    time.Time `json:"created"`
	SizeBytes  int64     `json:"sizeBytes"`
	Key        string    `json:"key"`
}

// Run prints the list.
func (o *SandboxImageListOptions) Run(ctx context.Context) error {
	e, err := engine.Detect(ctx)
	if err != nil {
		return err
	}
	images, err := nodeimage.List(ctx, e)
	if err != nil {
		return err
	}
	if len(images) == 0 && o.Output == "" {
		o.Talk("no node image was built on this machine; next: kubectl ai sandbox image build")
		return nil
	}
	return o.print(images)
}

func (o *SandboxImageListOptions) print(images []nodeimage.Image) error {
	list := sandboxImageList{APIVersion: outputVersion, Kind: "SandboxImageList", Items: []sandboxImageView{}}
	var names []string
	for _, i := range images {
		list.Items = append(list.Items, sandboxImageView{
			References: append([]string{}, i.Refs...), ID: i.ID, Kubernetes: i.Kubernetes,
			Created: i.Created.UTC().Truncate(time.Second), SizeBytes: i.SizeBytes, Key: i.Key,
		})
		for _, ref := range i.Refs {
			names = append(names, "image/"+ref)
		}
	}
	return printAs(o.Out, o.Output, list, names, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		_, _ = fmt.Fprintln(t, "IMAGE\tKUBERNETES\tSIZE\tAGE\tKEY")
		for _, i := range images {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%d MB\t%s\t%s\n", orNone(strings.Join(i.Refs, ",")), i.Kubernetes,
				i.SizeBytes/1_000_000, duration.HumanDuration(o.now().Sub(i.Created)), i.Key[:min(12, len(i.Key))])
		}
		return t.Flush()
	})
}
