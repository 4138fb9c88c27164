package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// ProgramPushOptions are the arguments of `agent push` and `services push`.
type ProgramPushOptions struct {
	Ref    string
	Output string

	Program programimage.Program
	What    string // the program to people
	Kind    string // of what -o json prints
	Use     string // where the reference goes, with %s for it
}

// programImageView is what they print with -o json.
type programImageView struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Image      string   `json:"image"` // by digest: what manifests take
	Tag        string   `json:"tag"`
	Platforms  []string `json:"platforms"`
	Pushed     bool     `json:"pushed"` // false: it was there
}

func newCmdProgramPush(f *Factory, o *ProgramPushOptions, long, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "push REGISTRY/PATH[:TAG]",
		Short: fmt.Sprintf("Push the image of %s to a registry that a cluster's nodes pull from", o.What),
		Long: long + `

The image is the same for everybody who has this build of kubectl ai. What the
registry has is not sent again. Credentials are those of docker login; plain
HTTP is spoken to localhost and to private addresses. No cluster is asked.`,
		Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return explain.Usagef("name where the image goes, such as registry.example/%s", o.Program.Repository)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Ref = args[0]
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	return cmd
}

// Run pushes and prints the reference.
func (o *ProgramPushOptions) Run(ctx context.Context, f *Factory) error {
	progress := term.NewProgress(f.Streams)
	progress.Start("Push " + o.What + " to " + o.Ref)
	pushed, err := o.Program.Push(ctx, f.Payload, o.Ref)
	progress.End(err)
	if err != nil {
		return err
	}
	view := programImageView{APIVersion: outputVersion, Kind: o.Kind, Image: pushed.Image.String(), Tag: pushed.Tag.String(), Pushed: pushed.Sent}
	for _, arch := range programimage.Arches {
		view.Platforms = append(view.Platforms, "linux/"+arch)
	}
	if !pushed.Sent {
		f.Streams.Talk("it was there already")
	}
	f.Streams.Talk(o.Use, view.Image)
	return printAs(f.Streams.Out, o.Output, view, []string{"image/" + view.Image}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, view.Image)
		return err
	})
}

// groupOnly is the Run of a command that only groups verbs.
func groupOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownVerb(cmd, args[0])
}
