package explain_test

import (
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
)

// An ID is what people search for and scripts branch on: one error, for ever.
func TestIDsAreNotReused(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range explain.Catalogue() {
		switch {
		case e.ID == "" || e.Exit == 0 || e.Match == nil:
			t.Errorf("%q has no ID, exit code or match: %+v", e.ID, e)
		case e.Long == "":
			t.Errorf("%s is explained by nothing", e.ID)
		case seen[e.ID]:
			t.Errorf("%s is there twice", e.ID)
		}
		seen[e.ID] = true
	}
}
