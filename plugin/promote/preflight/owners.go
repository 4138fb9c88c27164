package preflight

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// owners finds objects of the bundle that another tool manages. It would
// write them again, so they are refused unless they are adopted by name.
func (c *Check) owners(v *view) Report {
	report := v.blinded(CheckOwners)
	for _, obj := range c.Objects {
		ref := apply.RefOf(obj)
		live := v.live[ref]
		if live == nil || slices.Contains(c.Adopt, ref.Short()) {
			continue
		}
		tool, named := ownerOf(live)
		switch tool {
		case "":
		case "Helm":
			report.add(CheckOwners, Error, obj, "take it out of the chart, or --adopt "+ref.Short(), "Helm manages it, release %s", named)
		default:
			what := tool + " manages it"
			if named != "" {
				what += ", " + named
			}
			report.add(CheckOwners, Error, obj, "commit it to Git instead, or --adopt "+ref.Short(), "%s", what)
		}
	}
	return report
}

// gitOpsManagers are field managers of tools that write again what Git says.
var gitOpsManagers = map[string]string{
	"kustomize-controller":          "Flux",
	"helm-controller":               "Flux",
	"argocd-controller":             "Argo CD",
	"argocd-application-controller": "Argo CD",
}

// ownerOf returns the tool that manages a live object, and its name for it.
// The marks are the tools' own: Helm's chart labels, Flux's kustomize and
// helm labels, Argo CD's tracking annotation, and their field managers.
func ownerOf(live *metav1.PartialObjectMetadata) (tool, named string) {
	labels, annotations := live.Labels, live.Annotations
	for _, prefix := range []string{"kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"} {
		if name := labels[prefix+"/name"]; name != "" {
			kind := map[string]string{"kustomize.toolkit.fluxcd.io": "Kustomization", "helm.toolkit.fluxcd.io": "HelmRelease"}[prefix]
			return "Flux", kind + " " + labels[prefix+"/namespace"] + "/" + name
		}
	}
	if id := annotations["argocd.argoproj.io/tracking-id"]; id != "" {
		app, _, _ := strings.Cut(id, ":")
		return "Argo CD", "Application " + app
	}
	for _, f := range live.ManagedFields {
		if tool, ok := gitOpsManagers[f.Manager]; ok && f.Subresource == "" {
			return tool, "by field manager " + f.Manager
		}
	}
	if release := annotations["meta.helm.sh/release-name"]; release != "" && labels["app.kubernetes.io/managed-by"] == "Helm" {
		return "Helm", annotations["meta.helm.sh/release-namespace"] + "/" + release
	}
	return "", ""
}

// Drift says which objects of the current release somebody changed in fields
// that it applied: the same bundle would write them again.
func Drift(drifted map[apply.Ref][]string) Report {
	var report Report
	refs := make([]apply.Ref, 0, len(drifted))
	for ref := range drifted {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b apply.Ref) int { return strings.Compare(a.String(), b.String()) })
	for _, ref := range refs {
		by := "somebody"
		if len(drifted[ref]) > 0 {
			by = strings.Join(drifted[ref], ", ")
		}
		report = append(report, Finding{
			Check: CheckDrift, Level: Warning, Object: &ref, Next: "the difference shows it; the promotion writes the bundle's values again",
			Message: "changed by " + by + " since the last release",
		})
	}
	return report
}
