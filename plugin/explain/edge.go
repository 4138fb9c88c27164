package explain

import "github.com/kubectl-ai/kubectl-ai/plugin/edge"

var edgeEntries = []Entry{
	{
		ID: "EDGE-001", Exit: ExitPrecondition, Match: As[*edge.NoProgramError](),
		Next: Text("name a program of the code after --, such as -- serve.py, or add the component: kubectl ai catalog add serve"),
		Long: "A device starts what the bundle serves with: the Python program of the container with a workingDir in the workload labelled kubectl-ai.dev/stage: serve. The environment's overlay has none.",
	},
	{
		ID: "EDGE-002", Exit: ExitPrecondition, Match: As[*edge.ModelError](),
		Next: Text("kubectl ai validate --save-model DIR writes the model of a run there"),
		Long: "The model is a file on this machine, of one byte at least. Nothing was written.",
	},
	{
		ID: "EDGE-003", Exit: ExitPrecondition, Match: As[*edge.ForeignError](),
		Next: Text("name another folder with --into, or move that away"),
		Long: "edge replaces a folder that holds its own edge.json, and the archive beside it. What is there is neither, and was left as it is.",
	},
	{
		ID: "EDGE-004", Exit: ExitUsage, Match: As[*edge.NameError](),
		Next: Text("rename the variable in the container, with letters, digits and underscores, or name a program after --"),
		Long: "Containers may have environment variables whose names a POSIX shell cannot set. run.sh sets those of the container, so they have to be names of a shell: letters, digits and underscores, no digit first.",
	},
}
