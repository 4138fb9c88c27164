package explain

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/plugin/catalog"
)

var catalogEntries = []Entry{
	{
		ID: "CAT-001", Exit: ExitUsage, Match: As[*components.UnknownError](),
		Next: From(func(e *components.UnknownError) string {
			if near := nearest(e.Name, e.Known); len(near) > 0 {
				return fmt.Sprintf("did you mean %s? kubectl ai catalog list", strings.Join(near, ", "))
			}
			return "kubectl ai catalog list"
		}),
		Long: "The catalogue has no component of that name. kubectl ai catalog list prints those that it has.",
	},
	{
		ID: "CAT-002", Exit: ExitUsage, Match: As[*components.UnknownVariantError](),
		Next: From(func(e *components.UnknownVariantError) string {
			if near := nearest(e.Variant, e.Known); len(near) > 0 {
				return fmt.Sprintf("did you mean %s? kubectl ai catalog show %s", strings.Join(near, ", "), e.Component)
			}
			return "kubectl ai catalog show " + e.Component
		}),
		Long: "The component has no such form. kubectl ai catalog show NAME prints the forms that it has and what each of them needs.",
	},
	{
		ID: "CAT-003", Exit: ExitPrecondition, Match: As[*catalog.ChangedError](),
		Next: From(func(e *catalog.ChangedError) string {
			return fmt.Sprintf("keep them, or move components/%s away and repeat the command; kubectl ai catalog show %s --files prints what they were", e.Component, e.Component)
		}),
		Long: "Files of a component belong to the bundle once they are in it, and these are not as the catalogue has them. They were not written over, and nothing else was changed.",
	},
	{
		ID: "CAT-004", Exit: ExitPrecondition, Match: As[*catalog.NoOverlayError](),
		Next: Text("make overlays/sandbox and overlays/production, each with a kustomization.yaml, or name them under environments: in kubectl-ai.yaml"),
		Long: "A component goes into the overlays of the environments sandbox and production: its local form into the first, a production form into the second. The bundle has neither.",
	},
	{
		ID: "CAT-005", Exit: ExitPrecondition, Match: As[*catalog.BreaksError](),
		Next: Text("kubectl kustomize on the overlay shows whether it renders by itself; an object of the same kind and name has to go or be renamed first"),
		Long: "With the component the overlay does not build, mostly because the bundle has an object of the same kind and name already. Everything that was written was taken back.",
	},
	{
		ID: "CAT-006", Exit: ExitUsage, Match: As[*catalog.KustomizationError](),
		Next: Text("correct the kustomization, or add the component to its components: by hand"),
		Long: "The overlay's kustomization is not there, is no YAML, or writes components: in a way that cannot be edited without changing other lines. Nothing was changed.",
	},
	{
		ID: "CAT-007", Exit: ExitFailed, Match: As[*components.FileError](),
		Next: Text("make build, from a clean checkout"),
		Long: "The description of a component that this program carries is wrong. Tests read all of them, so the program was built from changed sources.",
	},
}

// nearest returns the words that a mistyped one may have meant, by cobra's own
// rule for commands.
func nearest(word string, known []string) []string {
	words := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, k := range known {
		words.AddCommand(&cobra.Command{Use: k, Run: func(*cobra.Command, []string) {}})
	}
	return words.SuggestionsFor(word)
}
