package explain

import "github.com/kubectl-ai/kubectl-ai/plugin/agentimage"

var agentEntries = []Entry{
	{
		ID: "AGT-001", Exit: ExitPrecondition, Match: As[*agentimage.MissingError](),
		Next: Text("kubectl ai agent push REGISTRY/kubectl-ai/agent; then write what it prints to agent.image in kubectl-ai.yaml"),
		Long: `dev copies its agent into pods from an image. Sandbox nodes get that image from kubectl ai
itself; the nodes of other clusters pull it, from a registry that you choose. Nothing was changed.`,
	},
	{
		ID: "AGT-002", Exit: ExitFailed, Match: As[*agentimage.PushError](),
		Next: Text("docker login to the registry, then repeat the command"),
		Long: "The registry did not take the agent's image. Credentials are those of docker login; plain HTTP is spoken to localhost and to private addresses.",
	},
	{
		ID: "AGT-003", Exit: ExitUsage, Match: As[*agentimage.NameError](),
		Next: Text("kubectl ai agent push registry.example/kubectl-ai/agent"),
		Long: "The agent's image is pushed to HOST[:PORT]/PATH[:TAG]. The digest comes of itself, and without a tag it gets one of its digest.",
	},
}
