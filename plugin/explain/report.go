package explain

import "github.com/kubectl-ai/kubectl-ai/plugin/report"

var reportEntries = []Entry{
	{
		ID: "REP-001", Exit: ExitPrecondition, Match: As[*report.ExistsError](),
		Next: Text("name another file with --file, or move that one away"),
		Long: "A report never replaces a file, as it may be all that is left of another failure. Nothing was written.",
	},
}
