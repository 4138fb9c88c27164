package command

import (
	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
)

// NewCmdServices returns `kubectl ai services` with its verb.
func NewCmdServices(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "services",
		Short: "The image of the services that bundles need, for other clusters: push",
		Args:  cobra.ArbitraryArgs,
		RunE:  groupOnly,
	}
	cmd.AddCommand(newCmdProgramPush(f, &ProgramPushOptions{
		Program: programimage.Services, What: "the services", Kind: "ServicesImage",
		Use: "under images: of an overlay, in place of kubectl-ai/services: %s",
	}, `Local twins of services (a broker, a store, a router) and what has no twin (the
drift exporter) run from kubectl-ai/services:local, which dev loads into sandboxes.
The nodes of other clusters pull it. This pushes it, for linux on amd64 and arm64,
and prints its reference by digest, for an overlay's kustomization.yaml:

  images:
  - name: kubectl-ai/services
    newName: registry.example/kubectl-ai/services
    digest: sha256:…`, `  kubectl ai services push registry.example/kubectl-ai/services
  kubectl ai services push localhost:5001/services -o json | jq -r .image`))
	return cmd
}
