package preflight

import (
	"fmt"
	"sync"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// evaluator is the one that the API server uses, of the same release as the
// client library.
var evaluator = sync.OnceValues(func() (policy.Evaluator, error) {
	return policy.NewEvaluator(policy.DefaultChecks(), nil)
})

// unlabelled is what the server does in namespaces without labels, unless its
// administrator configured something else, which nobody can read.
var unlabelled = api.Policy{
	Enforce: api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()},
	Audit:   api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()},
	Warn:    api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()},
}

// security evaluates the pod templates, with what promotion added to them, by
// the Pod Security levels of their namespaces. The server only warns of
// templates; the pods are refused when nobody looks any more.
func (c *Check) security(v *view) Report {
	var report Report
	e, err := evaluator()
	if err != nil {
		report.add(CheckSecurity, Warning, nil, "", "could not be checked: %v", err)
		return report
	}
	said := map[string]bool{}
	for i := range v.pods {
		p := &v.pods[i]
		labels, known := c.namespaceLabels(v, p.namespace())
		if !known {
			if ns := p.namespace(); !said[ns] {
				said[ns] = true
				report.add(CheckSecurity, Warning, nil, "", "could not be checked in full: get namespace %s is not permitted", ns)
			}
			continue
		}
		levels, _ := api.PolicyToEvaluate(labels, unlabelled)
		pod := p.pod()
		judge := func(lv api.LevelVersion) string {
			result := policy.AggregateCheckResults(e.EvaluatePod(lv, &pod.ObjectMeta, &pod.Spec))
			if result.Allowed {
				return ""
			}
			return fmt.Sprintf("its pods violate Pod Security %s: %s", lv.String(), result.ForbiddenDetail())
		}
		if words := judge(levels.Enforce); words != "" {
			report.add(CheckSecurity, Error, p.object, "change the securityContext in the overlay", "%s, which namespace %s enforces", words, p.namespace())
		} else if words := judge(levels.Warn); words != "" {
			report.add(CheckSecurity, Warning, p.object, "change the securityContext in the overlay", "%s, of which namespace %s warns", words, p.namespace())
		}
	}
	return report
}

// namespaceLabels returns the labels that a namespace will have: what is
// there, and what the bundle says.
func (c *Check) namespaceLabels(v *view, name string) (map[string]string, bool) {
	out := map[string]string{"kubernetes.io/metadata.name": name}
	live := v.namespaces[name]
	if live != nil {
		for k, value := range live.Labels {
			out[k] = value
		}
	}
	brought := false
	for _, obj := range c.Objects {
		if obj.GetKind() == "Namespace" && obj.GetName() == name {
			brought = true
			for k, value := range obj.GetLabels() {
				out[k] = value
			}
		}
	}
	return out, live != nil || brought
}
