package promote

import (
	"context"
	"fmt"
	"slices"

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

// keepers are annotations of other tools and ours that save an object.
var keepers = map[string]string{
	KeepAnnotation:                            "keep",
	"cli-utils.sigs.k8s.io/on-remove":         "keep",
	"client.lifecycle.config.k8s.io/deletion": "detach",
	"helm.sh/resource-policy":                 "keep",
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
		kept = append(kept, Kept{f.entry, reason, isJob(f.entry.Ref) && !finished(f.live)})
		stay = append(stay, f)
	}
	// What a running Job mounts goes no earlier than the Job.
	needed := map[apply.Ref]string{}
	for _, f := range stay {
		if isJob(f.entry.Ref) && finished(f.live) {
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
		kept = append(kept, Kept{Entry: f.entry, Reason: "it goes with the next release", Running: isJob(f.entry.Ref) && !finished(f.live)})
	}
	return prune, kept
}

func reasonToKeep(f former, number int) string {
	ref := f.entry.Ref
	switch {
	case ref.Group == "" && (ref.Kind == "Namespace" || ref.Kind == "PersistentVolumeClaim" || ref.Kind == "PersistentVolume"),
		ref.Group == "apiextensions.k8s.io":
		return "a " + ref.Kind + " is never pruned unasked"
	case isJob(ref) && !finished(f.live):
		return "it still runs"
	case isJob(ref) && f.entry.Release > number-keepFinished:
		return "it finished and belongs to one of the last releases"
	}
	for key, value := range keepers {
		if f.live.GetAnnotations()[key] == value {
			return key + " says so"
		}
	}
	if c := metav1.GetControllerOf(f.live); c != nil {
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
