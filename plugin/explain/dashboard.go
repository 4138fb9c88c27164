package explain

import "github.com/kubectl-ai/kubectl-ai/plugin/dashboard"

var dashboardEntries = []Entry{
	{
		ID: "DSH-001", Exit: ExitPrecondition, Match: As[*dashboard.ListenError](),
		Next: Text("kubectl ai dashboard, without --port: it takes one that is free"),
		Long: "Another program has that port of this machine, or it is one that only root may have. The dashboard listens on 127.0.0.1 alone.",
	},
}
