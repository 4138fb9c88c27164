package explain

import (
	"fmt"
	"path/filepath"

	"github.com/kubectl-ai/kubectl-ai/plugin/setup"
)

var setupEntries = []Entry{
	{
		ID: "SET-001", Exit: ExitPrecondition, Match: As[*setup.NoFolderError](),
		Next: From(func(e *setup.NoFolderError) string {
			if e.Asked {
				return "make your home folder writable, or name another folder: --dir FOLDER of setup, XDG_DATA_HOME for completion"
			}
			return fmt.Sprintf("kubectl ai setup --dir FOLDER, one that you may write to, and put it on PATH; or have it done for all: sudo ln -s %s /usr/local/bin/kubectl_complete-%s", e.Program, afterDash(e.Program))
		}),
		Long: `kubectl finds plugins and their completion in the folders of PATH. None of them may be
written to by you, and ~/.local/bin cannot be made either: your home folder is read-only,
or something else has that name. --dir names a folder of your choice.`,
	},
	{
		ID: "SET-002", Exit: ExitPrecondition, Match: As[*setup.TakenError](),
		Next: Text("look at the files, and move them away or choose another folder with --dir"),
		Long: `A file has the name that a link or a script of this program needs, and is not of this
program. It is left as it is. An own script kubectl_complete-ai that calls this program does the
same as the link; nothing else is needed then.`,
	},
	{
		ID: "SET-003", Exit: ExitPrecondition, Match: As[*setup.ForeignError](),
		Next: Text("kubectl-ai setup --coexist, by the path of this program; or put its folder first on PATH"),
		Long: `Two plugins have the name ai: this one, and GoogleCloudPlatform/kubectl-ai, which sends
what follows its name to a language model. kubectl runs the one that comes first on PATH.
With setup --coexist each verb of this one gets a link with a longer name, which kubectl
prefers wherever it is; "kubectl ai" followed by anything else goes to the other one.`,
	},
	{
		ID: "SET-004", Exit: ExitPrecondition, Match: As[*setup.NotAPluginError](),
		Next: From(func(e *setup.NotAPluginError) string {
			return fmt.Sprintf("mv %s %s, in a folder of PATH", e.Program, filepath.Join(filepath.Dir(e.Program), "kubectl-ai"))
		}),
		Long: "kubectl takes programs on PATH for plugins whose names begin with kubectl-: kubectl-ai answers to kubectl ai.",
	},
}

// afterDash is the name that kubectl knows a plugin by.
func afterDash(program string) string {
	name := filepath.Base(program)
	if len(name) > len("kubectl-") {
		return name[len("kubectl-"):]
	}
	return "ai"
}
