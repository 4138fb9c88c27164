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

// NewCmdAgent returns `kubectl ai agent` with its verb.
func NewCmdAgent(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "The image that brings the agent into pods of other clusters: push",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	cmd.AddCommand(newCmdAgentPush(f))
	return cmd
}

// AgentPushOptions are the arguments of `agent push`.
type AgentPushOptions struct {
	Ref    string
	Output string
}

// agentImageView is what `agent push -o json` prints.
type agentImageView struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Image      string   `json:"image"` // by digest: what agent.image takes
	Tag        string   `json:"tag"`
	Platforms  []string `json:"platforms"`
	Pushed     bool     `json:"pushed"` // false: it was there
}

func newCmdAgentPush(f *Factory) *cobra.Command {
	o := &AgentPushOptions{}
	cmd := &cobra.Command{
		Use:   "push REGISTRY/PATH[:TAG]",
		Short: "Push the agent's image to a registry that a cluster's nodes pull from",
		Long: `In a cluster that is no sandbox, the nodes pull the image that brings the agent
into pods. This pushes it, for linux on amd64 and arm64, and prints its reference
by digest, for kubectl-ai.yaml:

  agent: {image: REFERENCE}

The image is the same for everybody who has this build of kubectl ai. What the
registry has is not sent again. Credentials are those of docker login; plain
HTTP is spoken to localhost and to private addresses. No cluster is asked.`,
		Example: `  kubectl ai agent push registry.example/kubectl-ai/agent
  kubectl ai agent push localhost:5001/agent -o json | jq -r .image`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return explain.Usagef("name where the image goes, such as registry.example/kubectl-ai/agent")
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
func (o *AgentPushOptions) Run(ctx context.Context, f *Factory) error {
	progress := term.NewProgress(f.Streams)
	progress.Start("Push the agent to " + o.Ref)
	pushed, err := programimage.Agent.Push(ctx, f.Payload, o.Ref)
	progress.End(err)
	if err != nil {
		return err
	}
	view := agentImageView{APIVersion: outputVersion, Kind: "AgentImage", Image: pushed.Image.String(), Tag: pushed.Tag.String(), Pushed: pushed.Sent}
	for _, arch := range programimage.Arches {
		view.Platforms = append(view.Platforms, "linux/"+arch)
	}
	if !pushed.Sent {
		f.Streams.Talk("it was there already")
	}
	f.Streams.Talk("for kubectl-ai.yaml:  agent: {image: %s}", view.Image)
	return printAs(f.Streams.Out, o.Output, view, []string{"image/" + view.Image}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, view.Image)
		return err
	})
}
