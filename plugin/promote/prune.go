package promote

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// keepFinished is for how many releases a finished Job stays.
const keepFinished = 2

// Kept is an object that the bundle no longer has and that stays, with the
// reason.
type Kept struct {
	Entry   release.Entry
	Reason  string
	Running bool // a Job that is not done
}

// former is an object of the inventory that the bundle no longer has.
type former struct {
	entry release.Entry
	live  *unstructured.Unstructured
}

// formers returns the objects of the inventory that are not wanted any more
// and still there. What is gone, or was made anew by somebody else, is left
// out. One LIST a kind and namespace says it, the one that Diff made.
func (p *Promoter) formers(ctx context.Context, plan *Plan) ([]former, error) {
	wanted := map[apply.Ref]bool{}
	for _, obj := range plan.objects {
		wanted[apply.RefOf(obj)] = true
	}
	var entries []release.Entry
	var refs []apply.Ref
	for _, e := range plan.state.Inventory {
		if !wanted[e.Ref] {
			entries, refs = append(entries, e), append(refs, e.Ref)
		}
	}
	found, err := plan.members.Find(ctx, refs)
	if err != nil {
		return nil, err
	}
	var out []former
	for _, e := range entries {
		live := found[e.Ref]
		// An entry without a UID was written by a promotion that died before
		// it knew; then the label decides.
		if live == nil || e.UID != "" && e.UID != live.GetUID() || live.GetLabels()[release.PartOf] != p.id() {
			continue
		}
		out = append(out, former{e, live})
	}
	return out, nil
}

// keepers are annotations, of other tools and ours, that save an object. What
// they hold may be a list.
var keepers = map[string]string{
	KeepAnnotation:                            "keep",
	"cli-utils.sigs.k8s.io/on-remove":         "keep",
	"client.lifecycle.config.k8s.io/deletion": "detach",
	"helm.sh/resource-policy":                 "keep",
	"kustomize.toolkit.fluxcd.io/prune":       "disabled",
	"argocd.argoproj.io/sync-options":         "Prune=false",
}

// More than pruneMax percent of the inventory are not pruned unasked, unless
// they are no more than pruneFloor objects: one of three is no accident.
const (
	pruneMax   = 30
	pruneFloor = 3
)

// PruneLimitError says that a bundle lost so much of what the last release
// brought that it looks like a mistake. Nothing was written.
type PruneLimitError struct {
	Refs    []apply.Ref // that would go
	Of      int         // objects of the inventory
	Percent int         // that may go
}

func (e *PruneLimitError) Error() string {
	names := make([]string, 0, 4)
	for _, ref := range e.Refs[:min(len(e.Refs), 3)] {
		names = append(names, ref.Short())
	}
	if n := len(e.Refs) - len(names); n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return fmt.Sprintf("%d of %d objects left the bundle and would be deleted (%s): more than %d %%", len(e.Refs), e.Of, strings.Join(names, ", "), e.Percent)
}

// Needed is the least --prune-max with which they may go.
func (e *PruneLimitError) Needed() int { return (100*len(e.Refs) + e.Of - 1) / e.Of }

// limitPrune refuses to prune too much of the inventory. What was named, and
// what gave way to its next generation, an object of the bundle of that name
// with another suffix made of its content, does not count.
func limitPrune(prune []former, state *release.State, objects []*unstructured.Unstructured, o Options) error {
	percent := cmp.Or(o.PruneMax, pruneMax)
	next := map[apply.Ref]bool{}
	for _, obj := range objects {
		next[lineage(apply.RefOf(obj))] = true
	}
	e := &PruneLimitError{Of: len(state.Inventory), Percent: percent}
	for _, f := range prune {
		if line := lineage(f.entry.Ref); line != f.entry.Ref && next[line] || slices.Contains(o.PruneAlso, f.entry.Short()) {
			continue
		}
		e.Refs = append(e.Refs, f.entry.Ref)
	}
	if len(e.Refs) <= pruneFloor || 100*len(e.Refs) <= percent*e.Of {
		return nil
	}
	return e
}

// contentSuffix is what ends a name that is made of its object's content: of
// a Job, of code, and of kustomize's generators.
var contentSuffix = regexp.MustCompile(`-([0-9a-f]{8}(-r[0-9]+)?|[0-9a-f]{12}|[2456789bcdfghkmt]{10})$`)

// lineage is what the generations of an object have in common.
func lineage(ref apply.Ref) apply.Ref {
	ref.Name = contentSuffix.ReplaceAllString(ref.Name, "")
	return ref
}

// selectPrune decides which former objects go. number is that of the release
// in the making; also names, as Kind/name, what was asked for.
func selectPrune(formers []former, number int, also []string) (prune []former, kept []Kept) {
	var stay []former
	for _, f := range formers {
		reason := ""
		if !slices.Contains(also, f.entry.Short()) {
			reason = reasonToKeep(f, number)
		}
		if reason == "" {
			prune = append(prune, f)
			continue
		}
		kept = append(kept, Kept{f.entry, reason, isRun(f.entry.Ref) && !apply.Finished(f.live)})
		stay = append(stay, f)
	}
	// What a running Job mounts goes no earlier than the Job.
	needed := map[apply.Ref]string{}
	for _, f := range stay {
		if isRun(f.entry.Ref) && apply.Finished(f.live) {
			continue
		}
		for _, ref := range references(f.live) {
			needed[ref] = f.entry.Short()
		}
	}
	prune = slices.DeleteFunc(prune, func(f former) bool {
		by, ok := needed[f.entry.Ref]
		if ok {
			kept = append(kept, Kept{Entry: f.entry, Reason: by + " uses it"})
		}
		return ok
	})
	return prune, kept
}

// onlyAsked prunes what was asked for by name and keeps the rest.
func onlyAsked(formers []former, also []string) (prune []former, kept []Kept) {
	for _, f := range formers {
		if slices.Contains(also, f.entry.Short()) {
			prune = append(prune, f)
			continue
		}
		kept = append(kept, Kept{Entry: f.entry, Reason: "it goes with the next release", Running: isRun(f.entry.Ref) && !apply.Finished(f.live)})
	}
	return prune, kept
}

func reasonToKeep(f former, number int) string {
	ref := f.entry.Ref
	switch {
	case ref.Group == "" && (ref.Kind == "Namespace" || ref.Kind == "PersistentVolumeClaim" || ref.Kind == "PersistentVolume"),
		ref.Group == "apiextensions.k8s.io":
		return "a " + ref.Kind + " is never pruned unasked"
	case isRun(ref) && suspendedByUs(f.live):
		return "it is suspended, and goes on when its release comes back"
	case isRun(ref) && !apply.Finished(f.live):
		return "it still runs"
	case isRun(ref) && f.entry.Release > number-keepFinished:
		return "it finished and belongs to one of the last releases"
	}
	return reasonOfOthers(f.live)
}

// reasonOfOthers says who wants an object kept.
func reasonOfOthers(live *unstructured.Unstructured) string {
	annotations := live.GetAnnotations()
	for _, key := range slices.Sorted(maps.Keys(keepers)) {
		for part := range strings.SplitSeq(annotations[key], ",") {
			if strings.TrimSpace(part) == keepers[key] {
				return key + " says so"
			}
		}
	}
	if c := metav1.GetControllerOf(live); c != nil {
		return fmt.Sprintf("%s/%s controls it", c.Kind, c.Name)
	}
	return ""
}

// references returns the ConfigMaps, Secrets, claims and accounts that the
// pods of an object use.
func references(obj *unstructured.Unstructured) []apply.Ref {
	var out []apply.Ref
	add := func(kind string, name any) {
		if s, ok := name.(string); ok && s != "" {
			out = append(out, apply.Ref{Kind: kind, Namespace: obj.GetNamespace(), Name: s})
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, item := range v {
				m, _ := item.(map[string]any)
				switch key {
				case "configMap", "configMapRef", "configMapKeyRef":
					add("ConfigMap", m["name"])
				case "secretRef", "secretKeyRef":
					add("Secret", m["name"])
				case "secret":
					add("Secret", m["secretName"])
					add("Secret", m["name"]) // projected volumes call it so
				case "persistentVolumeClaim":
					add("PersistentVolumeClaim", m["claimName"])
				case "serviceAccountName":
					add("ServiceAccount", item)
				}
				walk(item)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	templates, err := workload.Templates(obj)
	if err != nil {
		return nil
	}
	for _, t := range templates {
		walk(t.Spec())
		if pulls, ok := t.Spec()["imagePullSecrets"].([]any); ok {
			for _, item := range pulls {
				m, _ := item.(map[string]any)
				add("Secret", m["name"])
			}
		}
	}
	return out
}
