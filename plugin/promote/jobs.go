package promote

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// hash identifies what a run does: its spec without what may change in place.
// The pod templates hold the digest of the code, the digests of the images and
// the generated names of the ConfigMaps and Secrets that they use, so those
// enter too.
func hash(run *unstructured.Unstructured) (string, error) {
	spec, _, err := unstructured.NestedMap(run.Object, "spec")
	if err != nil {
		return "", fmt.Errorf("%s/%s: %w", run.GetKind(), run.GetName(), err)
	}
	spec = runtime.DeepCopyJSON(spec)
	for _, field := range runKinds[apply.RefOf(run).GroupKind()].mutable {
		unstructured.RemoveNestedField(spec, strings.Split(field, ".")...)
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("%s/%s: %w", run.GetKind(), run.GetName(), err)
	}
	sum := sha256.Sum256(raw)
	return fmt.Sprintf("%x", sum[:4]), nil
}

// nameLimit is what a label value and a hostname may have (RFC 1123).
const nameLimit = 63

// generationName returns <base><suffix>, the base cut where what the controller
// makes of the name, such as a pod's host name, would be too long.
func generationName(run *unstructured.Unstructured, base, suffix string) string {
	limit := nameLimit - runKinds[apply.RefOf(run).GroupKind()].room(run)
	if room := max(limit-len(suffix), 1); len(base) > room {
		base = strings.TrimRight(base[:room], "-.")
	}
	return base + suffix
}

// rename is a run's way to another name.
type rename struct {
	kind                schema.GroupKind
	namespace, from, to string
	domain              bool // its pods' subdomain is its name
}

func renameOf(obj *unstructured.Unstructured, to string) rename {
	ref := apply.RefOf(obj)
	return rename{ref.GroupKind(), ref.Namespace, ref.Name, to, runKinds[ref.GroupKind()].ownDomain(obj)}
}

// nameRuns gives every run of a fresh render the name of its generation. A
// release that ran the same generation under the name of a later run
// (<name>-r<revision>) keeps that run.
func nameRuns(objects []*unstructured.Unstructured, state *release.State) error {
	var renames []rename
	for _, obj := range objects {
		ref := apply.RefOf(obj)
		if !isRun(ref) {
			continue
		}
		h8, err := hash(obj)
		if err != nil {
			return err
		}
		name := latestRun(ref, generationName(obj, ref.Name, "-"+h8), state)
		renames = append(renames, renameOf(obj, name))
	}
	follow(objects, renames)
	return nil
}

var runSuffix = regexp.MustCompile(`-r[0-9]+$`)

// latestRun returns the newest run of a generation that the inventory holds.
func latestRun(ref apply.Ref, name string, state *release.State) string {
	best, newest := name, 0
	for _, e := range state.Inventory {
		if e.GroupKind() != ref.GroupKind() || e.Namespace != ref.Namespace || e.Release <= newest {
			continue
		}
		if e.Name == name || runSuffix.ReplaceAllString(e.Name, "") == name {
			best, newest = e.Name, e.Release
		}
	}
	return best
}

// rerun gives runs a name of their own for one release, since the run of that
// name is done.
func rerun(objects []*unstructured.Unstructured, done map[apply.Ref]bool, revision int) {
	var renames []rename
	for _, obj := range objects {
		ref := apply.RefOf(obj)
		if !isRun(ref) || !done[ref] {
			continue
		}
		base := runSuffix.ReplaceAllString(ref.Name, "")
		renames = append(renames, renameOf(obj, generationName(obj, base, fmt.Sprintf("-r%d", revision))))
	}
	follow(objects, renames)
}
