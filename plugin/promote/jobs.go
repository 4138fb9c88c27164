package promote

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

func isJob(ref apply.Ref) bool { return ref.Group == "batch" && ref.Kind == "Job" }

// mutable are the fields of a Job's spec that may change while it is there;
// they do not make another Job.
var mutable = []string{"parallelism", "suspend", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"}

// hash identifies what a Job runs: its spec without what may change in place.
// The pod template holds the digest of the code, the digests of the images and
// the generated names of the ConfigMaps and Secrets that it uses, so those
// enter too.
func hash(job *unstructured.Unstructured) (string, error) {
	spec, _, err := unstructured.NestedMap(job.Object, "spec")
	if err != nil {
		return "", fmt.Errorf("Job/%s: %w", job.GetName(), err)
	}
	spec = runtime.DeepCopyJSON(spec)
	for _, field := range mutable {
		delete(spec, field)
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("Job/%s: %w", job.GetName(), err)
	}
	sum := sha256.Sum256(raw)
	return fmt.Sprintf("%x", sum[:4]), nil
}

// nameLimit is what a label value and a hostname may have (RFC 1123).
const nameLimit = 63

// generationName returns <base><suffix>, the base cut where the pods'
// hostnames <job>-<index> would be too long.
func generationName(job *unstructured.Unstructured, base, suffix string) string {
	limit := nameLimit
	if mode, _, _ := unstructured.NestedString(job.Object, "spec", "completionMode"); mode == "Indexed" {
		completions, ok, _ := unstructured.NestedInt64(job.Object, "spec", "completions")
		if !ok {
			completions = 1
		}
		limit -= len("-" + strconv.FormatInt(max(completions-1, 0), 10))
	}
	if room := limit - len(suffix); len(base) > room {
		base = strings.TrimRight(base[:room], "-.")
	}
	return base + suffix
}

// rename is a Job's way to another name.
type rename struct{ namespace, from, to string }

// nameRuns gives every Job of a fresh render the name of its generation. A
// release that ran the same generation under the name of a later run
// (<name>-r<revision>) keeps that run.
func nameRuns(objects []*unstructured.Unstructured, state *release.State) error {
	var renames []rename
	for _, obj := range objects {
		ref := apply.RefOf(obj)
		if !isJob(ref) {
			continue
		}
		h8, err := hash(obj)
		if err != nil {
			return err
		}
		name := latestRun(ref.Namespace, generationName(obj, ref.Name, "-"+h8), state)
		renames = append(renames, rename{ref.Namespace, ref.Name, name})
	}
	follow(objects, renames)
	return nil
}

var runSuffix = regexp.MustCompile(`-r[0-9]+$`)

// latestRun returns the newest run of a generation that the inventory holds.
func latestRun(namespace, name string, state *release.State) string {
	best, newest := name, 0
	for _, e := range state.Inventory {
		if !isJob(e.Ref) || e.Namespace != namespace || e.Release <= newest {
			continue
		}
		if e.Name == name || runSuffix.ReplaceAllString(e.Name, "") == name {
			best, newest = e.Name, e.Release
		}
	}
	return best
}

// rerun gives Jobs a name of their own for one release, since the run of that
// name is done.
func rerun(objects []*unstructured.Unstructured, done map[apply.Ref]bool, revision int) {
	var renames []rename
	for _, obj := range objects {
		ref := apply.RefOf(obj)
		if !isJob(ref) || !done[ref] {
			continue
		}
		base := runSuffix.ReplaceAllString(ref.Name, "")
		renames = append(renames, rename{ref.Namespace, ref.Name, generationName(obj, base, fmt.Sprintf("-r%d", revision))})
	}
	follow(objects, renames)
}

// finished says whether a Job is complete or failed.
func finished(job *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(job.Object, "status", "conditions")
	for _, item := range conditions {
		c, _ := item.(map[string]any)
		if (c["type"] == "Complete" || c["type"] == "Failed") && c["status"] == "True" {
			return true
		}
	}
	return false
}
