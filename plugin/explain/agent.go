package explain

import (
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/attach"
)

var agentEntries = []Entry{
	{
		ID: "AGT-001", Exit: ExitPrecondition, Match: As[*programimage.MissingError](),
		Next: Text("kubectl ai agent push REGISTRY/kubectl-ai/agent; then write what it prints to agent.image in kubectl-ai.yaml"),
		Long: `dev copies its agent into pods from an image. Sandbox nodes get that image from kubectl ai
itself; the nodes of other clusters pull it, from a registry that you choose. Nothing was changed.`,
	},
	{
		ID: "AGT-002", Exit: ExitFailed, Match: As[*programimage.PushError](),
		Next: Text("docker login to the registry, then repeat the command"),
		Long: "The registry did not take the image. Credentials are those of docker login; plain HTTP is spoken to localhost and to private addresses.",
	},
	{
		ID: "AGT-003", Exit: ExitUsage, Match: As[*programimage.NameError](),
		Next: Text("kubectl ai agent push registry.example/kubectl-ai/agent, or kubectl ai services push registry.example/kubectl-ai/services"),
		Long: "An image is pushed to HOST[:PORT]/PATH[:TAG]. The digest comes of itself, and without a tag it gets one of its digest.",
	},
	{
		ID: "AGT-004", Exit: ExitPrecondition, Match: As[*programimage.LocalError](),
		Next: Text("kubectl ai services push REGISTRY/kubectl-ai/services; then write what it prints under images: of the overlay's kustomization.yaml"),
		Long: `The local twins of services (broker, store, router and others) run from an image that kubectl ai
carries and loads into sandboxes. Under its local name it is in no registry, and a node that asked Docker Hub for
it would run what a stranger put there. Push it to a registry of yours, or use the production form of the
component. Nothing was changed.`,
	},
	{
		ID: "ATT-001", Exit: ExitPrecondition, Match: As[*attach.UnfitError](),
		Next: From(unfit),
		Long: `attach brings code into a container as it runs. It needs a shell there to put its agent
beside the code, and a folder that the container's user may write to. Nothing was changed.`,
	},
	{
		ID: "ATT-002", Exit: ExitUsage, Match: As[*attach.UnknownContainerError](),
		Next: From(func(e *attach.UnknownContainerError) string {
			return fmt.Sprintf("kubectl ai attach %s/%s", e.Pod, e.Known[0])
		}),
		Long: "The pod has several containers, or none of that name. Say which one the code is for, as POD/CONTAINER.",
	},
}

func unfit(e *attach.UnfitError) string {
	switch e.Kind {
	case attach.NoShell:
		return "kubectl ai dev, which starts the container with its agent and needs no shell"
	case attach.HasAgent:
		return "kubectl ai dev, which delivers to it"
	case attach.NoFolder:
		return "name a folder that is there with --into"
	case attach.ReadOnly, attach.NotOwner:
		return "name a folder that can be written to with --into, or mount an emptyDir over the code; kubectl ai dev does that itself"
	case attach.SharedPIDs:
		return "leave --signal out, and let the program look for new code by itself"
	}
	return "kubectl get pods"
}
