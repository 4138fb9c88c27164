package apply

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// Compare returns what leads from one list of objects to another, as a plan
// that nobody asked a server for: Live is the object of the first list, Result
// that of the second. same names an object in both lists where its own name
// changes; nil: its name.
func Compare(from, to []*unstructured.Unstructured, same func(Ref) Ref) *Plan {
	if same == nil {
		same = func(r Ref) Ref { return r }
	}
	plan := &Plan{mask: redact.New()}
	before := map[Ref]*unstructured.Unstructured{}
	for _, obj := range from {
		plan.mask.Learn(obj)
		before[RefOf(obj)] = obj
	}
	left := map[Ref][]*unstructured.Unstructured{}
	kept := map[Ref]bool{}
	for _, obj := range to {
		plan.mask.Learn(obj)
		kept[RefOf(obj)] = true
	}
	for _, obj := range from {
		if !kept[RefOf(obj)] {
			left[same(RefOf(obj))] = append(left[same(RefOf(obj))], obj)
		}
	}
	for _, obj := range to {
		ref := RefOf(obj)
		live := before[ref]
		if line := same(ref); live == nil && len(left[line]) > 0 {
			live, left[line] = left[line][0], left[line][1:]
		}
		change := Change{Action: Update, Ref: ref, Want: obj, Live: live, Result: obj}
		switch {
		case live == nil:
			change.Action = Create
		case Sum(live) == Sum(obj):
			change.Action = Unchanged
		}
		plan.Changes = append(plan.Changes, change)
	}
	for _, obj := range from {
		if rest := left[same(RefOf(obj))]; len(rest) > 0 && rest[0] == obj {
			left[same(RefOf(obj))] = rest[1:]
			plan.AddFormer(Prune, obj, "")
		}
	}
	return plan
}
