package explain

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
)

var scaffoldEntries = []Entry{
	{
		ID: "INI-001", Exit: ExitPrecondition, Match: As[*scaffold.ExistsError](),
		Next: From(func(e *scaffold.ExistsError) string {
			if len(e.Files) == 1 && e.Files[0] == project.FileName {
				return "it is a bundle already: kubectl ai dev"
			}
			return "move them away, or keep a bundle in a folder of its own; kubectl ai init --dry-run prints what would be written"
		}),
		Long: "init adds files and never writes over one. Nothing was written. A folder that has kubectl-ai.yaml is a bundle already.",
	},
	{
		ID: "INI-002", Exit: ExitPrecondition, Match: As[*scaffold.NoCodeError](),
		Next: Text("name the folder with the code, kubectl ai init DIR, or begin with an example: kubectl ai init --template digits"),
		Long: `The folder has no Python file, no notebook, and no Dockerfile that says what to run.
Hidden folders, virtual environments and folders called build, dist, outputs or
checkpoints are not looked into.`,
	},
	{
		ID: "INI-003", Exit: ExitPrecondition, Match: As[*scaffold.NotebookError](),
		Cause: From(func(e *scaffold.NotebookError) string {
			var lines []string
			if len(e.Needs) > 0 {
				lines = append(lines, "they import "+strings.Join(e.Needs, ", ")+": list these in requirements.txt")
			}
			for _, m := range e.Magics {
				lines = append(lines, "no Python, to be taken out of the script: "+m)
			}
			return strings.Join(lines, "\n")
		}),
		Next: From(func(e *scaffold.NotebookError) string {
			return fmt.Sprintf("jupyter nbconvert --to script %s, then: kubectl ai init", e.Notebooks[0])
		}),
		Long: `Pods run scripts. nbconvert writes the cells of a notebook as one; lines that only
IPython understands (%magics, !commands) have to go, and what they install belongs into
requirements.txt.`,
	},
	{
		ID: "INI-004", Exit: ExitUsage, Match: As[*scaffold.MonorepoError](),
		Next: From(func(e *scaffold.MonorepoError) string {
			var lines []string
			for _, p := range e.Projects {
				lines = append(lines, "kubectl ai init "+p.Value)
			}
			return strings.Join(lines, "\n")
		}),
		Long: "A bundle is one training project. Folders below this one have a requirements.txt, pyproject.toml or Dockerfile and an entry point of their own: name one of them.",
	},
	{
		ID: "INI-005", Exit: ExitUsage, Match: As[*scaffold.AmbiguousError](),
		Next: From(func(e *scaffold.AmbiguousError) string { return "kubectl ai init --entry " + e.Entries[0] }),
		Long: "Several files have the look of training and nothing tells which one is meant: no Dockerfile, no launch line in a script, Makefile or README. --entry names it.",
	},
	{
		ID: "INI-006", Exit: ExitPrecondition, Match: As[*scaffold.NoEntryError](),
		Next: Text("name the file that trains: kubectl ai init --entry FILE"),
		Long: `There is Python code, and no file that is known to start it: what a Dockerfile runs, what
torchrun, accelerate or python starts in a script, Makefile or README, a package with a
__main__.py, a file called train.py or main.py, or one with a __main__ guard and a
training loop.`,
	},
	{
		ID: "INI-007", Exit: ExitUsage, Match: As[*scaffold.EntryError](),
		Next: From(func(e *scaffold.EntryError) string {
			if near := nearest(e.Entry, e.Known); len(near) > 0 {
				return "did you mean " + strings.Join(near, ", ") + "?"
			}
			return "name a file of the project, such as tools/train.py, or a module, such as pkg.train"
		}),
		Long: "--entry names a Python file below the project's folder, or a module by its dotted name.",
	},
	{
		ID: "INI-008", Exit: ExitUsage, Match: As[*scaffold.SyntaxError](),
		Next: Text("correct the line and repeat the command; nothing was written"),
		Long: "A Dockerfile, requirements.txt, pyproject.toml, environment.yml or notebook of the project cannot be read. What it says decides on the runtime image, so it is not passed over.",
	},
	{
		ID: "INI-009", Exit: ExitPrecondition, Match: As[*scaffold.AdoptError](),
		Next: From(func(e *scaffold.AdoptError) string {
			if len(e.Containers) > 0 {
				return fmt.Sprintf("write %s with code: [{path: ., mountPath: DIR, targets: [%s]}]", project.FileName, e.Containers[0])
			}
			return "add a Job that runs the code to its resources"
		}),
		Long: `The project has a kustomization, which is taken as it is. Code goes to the one container
that starts Python, or to the only one. Where several could be meant, code[].targets in
kubectl-ai.yaml names those that get it.`,
	},
	{
		ID: "INI-010", Exit: ExitUsage, Match: As[*scaffold.TemplateError](),
		Next: From(func(e *scaffold.TemplateError) string {
			if near := nearest(e.Name, e.Known); len(near) > 0 {
				return "did you mean " + strings.Join(near, ", ") + "?"
			}
			return "kubectl ai init --template " + e.Known[0]
		}),
		Long: "The program carries a few bundles to begin with. TAB after --template lists them.",
	},
	{
		ID: "INI-011", Exit: ExitUsage, Match: As[*scaffold.NameError](),
		Next: Text("kubectl ai init --name NAME"),
		Long: "Objects in the cluster are called like the project, which is called like its folder. --name says another name.",
	},
	{
		ID: "INI-012", Exit: ExitPrecondition, Match: As[*scaffold.UnbuiltError](),
		Next: From(func(e *scaffold.UnbuiltError) string {
			return scaffold.BuildCommand(e.Image, e.Dockerfile, e.Dir) + "\nand repeat the command, which loads it"
		}),
		Long: `The bundle's runtime image, interpreter and packages without the code, is built by the
Dockerfile beside kubectl-ai.yaml. It is called like the project and no registry has it,
so nodes cannot pull it. dev loads it from the container engine of this machine.`,
	},
}
