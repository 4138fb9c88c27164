package preflight

import (
	"testing"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
)

// The catalogue and the preflight call an operator by the same name.
func TestTheCatalogueKnowsTheSameOperators(t *testing.T) {
	list, err := components.Embedded().List()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		for _, v := range c.Variants {
			for _, n := range v.Needs {
				if o, ok := operatorOf(n.GroupKind()); !ok || o.name != n.Operator {
					t.Errorf("%s %s: %s is brought by %q here and by %q in the catalogue", c.Name, v.Folder, n.GroupKind(), o.name, n.Operator)
				}
			}
		}
	}
}
