package command

import (
	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
)

// NewCmdAgent returns `kubectl ai agent` with its verb.
func NewCmdAgent(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "The image that brings the agent into pods of other clusters: push",
		Args:  cobra.ArbitraryArgs,
		RunE:  groupOnly,
	}
	cmd.AddCommand(newCmdProgramPush(f, &ProgramPushOptions{
		Program: programimage.Agent, What: "the agent", Kind: "AgentImage",
		Use: "for kubectl-ai.yaml:  agent: {image: %s}",
	}, `In a cluster that is no sandbox, the nodes pull the image that brings the agent
into pods. This pushes it, for linux on amd64 and arm64, and prints its reference
by digest, for kubectl-ai.yaml:

  agent: {image: REFERENCE}`, `  kubectl ai agent push registry.example/kubectl-ai/agent
  kubectl ai agent push localhost:5001/agent -o json | jq -r .image`))
	return cmd
}
