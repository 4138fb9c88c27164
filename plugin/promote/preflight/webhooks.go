package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// hook is an admission webhook that hears of objects of the bundle.
type hook struct {
	configuration, name string
	sideEffects         admissionv1.SideEffectClass
	mustAnswer          bool   // failurePolicy Fail
	service             string // namespace/name; "": a URL
	dead                bool   // the Service has no endpoint that is ready
	objects             []*unstructured.Unstructured
}

// webhook is what validating and mutating ones have in common: the fields that
// say which objects it hears of, and how it answers. They are called the same.
type webhook struct {
	Name              string                           `json:"name"`
	ClientConfig      admissionv1.WebhookClientConfig  `json:"clientConfig"`
	Rules             []admissionv1.RuleWithOperations `json:"rules"`
	FailurePolicy     *admissionv1.FailurePolicyType   `json:"failurePolicy"`
	SideEffects       *admissionv1.SideEffectClass     `json:"sideEffects"`
	NamespaceSelector *metav1.LabelSelector            `json:"namespaceSelector"`
	ObjectSelector    *metav1.LabelSelector            `json:"objectSelector"`
}

type webhookConfiguration struct {
	metav1.ObjectMeta `json:"metadata"`
	Webhooks          []webhook `json:"webhooks"`
}

func (c *Check) readHooks(v *view) []task {
	var tasks []task
	for _, resource := range []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"} {
		tasks = append(tasks, func(ctx context.Context) error {
			found, err := list[webhookConfiguration](ctx, c, admissionv1.SchemeGroupVersion.WithResource(resource), "")
			if err != nil {
				return v.unless(err, CheckWebhooks, "list "+resource)
			}
			var hooks []hook
			for i := range found {
				for _, w := range found[i].Webhooks {
					hooks = c.heard(v, hooks, found[i].Name, w)
				}
			}
			return c.endpoints(ctx, v, hooks)
		})
	}
	return tasks
}

// heard appends the webhook if the bundle has objects that it is asked about.
func (c *Check) heard(v *view, hooks []hook, configuration string, w webhook) []hook {
	h := hook{configuration: configuration, name: w.Name, sideEffects: admissionv1.SideEffectClassUnknown, mustAnswer: w.FailurePolicy == nil || *w.FailurePolicy == admissionv1.Fail}
	if w.SideEffects != nil {
		h.sideEffects = *w.SideEffects
	}
	if s := w.ClientConfig.Service; s != nil {
		h.service = s.Namespace + "/" + s.Name
	}
	for _, obj := range c.Objects {
		if c.hears(v, w, obj) {
			h.objects = append(h.objects, obj)
		}
	}
	if len(h.objects) == 0 {
		return hooks
	}
	return append(hooks, h)
}

func (c *Check) hears(v *view, w webhook, obj *unstructured.Unstructured) bool {
	s, ok := v.resources[obj.GroupVersionKind()]
	if !ok {
		return false
	}
	has := func(list []string, s string) bool { return slices.Contains(list, "*") || slices.Contains(list, s) }
	if !slices.ContainsFunc(w.Rules, func(r admissionv1.RuleWithOperations) bool {
		operation := slices.ContainsFunc(r.Operations, func(o admissionv1.OperationType) bool {
			return o == admissionv1.OperationAll || o == admissionv1.Create || o == admissionv1.Update
		})
		scope := r.Scope == nil || *r.Scope == admissionv1.AllScopes || (*r.Scope == admissionv1.NamespacedScope) == s.namespaced
		// Versions are converted for the webhook (matchPolicy Equivalent).
		return operation && scope && has(r.APIGroups, s.resource.Group) && (has(r.Resources, s.resource.Resource) || slices.Contains(r.Resources, "*/*"))
	}) {
		return false
	}
	if s.namespaced {
		space, _ := c.namespaceLabels(v, obj.GetNamespace())
		if !selects(w.NamespaceSelector, space) {
			return false
		}
	}
	return selects(w.ObjectSelector, obj.GetLabels())
}

func selects(s *metav1.LabelSelector, set map[string]string) bool {
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}

// endpoints finds out whether somebody answers for the webhooks that must.
func (c *Check) endpoints(ctx context.Context, v *view, hooks []hook) error {
	alive := map[string]bool{}
	for i := range hooks {
		h := &hooks[i]
		if !h.mustAnswer || h.service == "" {
			continue
		}
		if _, asked := alive[h.service]; !asked {
			ok, err := c.answers(ctx, h.service)
			if err != nil {
				if err := v.unless(err, CheckWebhooks, "list endpointslices of "+h.service); err != nil {
					return err
				}
				ok = true // not known
			}
			alive[h.service] = ok
		}
		h.dead = !alive[h.service]
	}
	v.lock(func() { v.hooks = append(v.hooks, hooks...) })
	return nil
}

// answers says whether a Service has an endpoint that is ready.
func (c *Check) answers(ctx context.Context, service string) (bool, error) {
	ns, name, _ := strings.Cut(service, "/")
	found, err := c.Client.Dynamic.Resource(discoveryv1.SchemeGroupVersion.WithResource("endpointslices")).Namespace(ns).
		List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
	if err != nil {
		return false, fmt.Errorf("list the endpoints of %s: %w", service, err)
	}
	slicesOf, err := convert[discoveryv1.EndpointSlice](found)
	if err != nil {
		return false, err
	}
	for _, s := range slicesOf {
		if slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool {
			return e.Conditions.Ready == nil || *e.Conditions.Ready
		}) {
			return true, nil
		}
	}
	return false, nil
}

// webhooks says which of them stand in the way.
func (c *Check) webhooks(v *view) Report {
	report := v.blinded(CheckWebhooks)
	slices.SortFunc(v.hooks, func(a, b hook) int { return strings.Compare(a.configuration+"/"+a.name, b.configuration+"/"+b.name) })
	for _, h := range v.hooks {
		who := fmt.Sprintf("webhook %s (%s)", h.name, h.configuration)
		if h.sideEffects != admissionv1.SideEffectClassNone && h.sideEffects != admissionv1.SideEffectClassNoneOnDryRun {
			report.add(CheckWebhooks, Error, h.objects[0], "set its sideEffects to NoneOnDryRun when that is true",
				"%s has side effects %s, so the server refuses a dry run of %d objects", who, h.sideEffects, len(h.objects))
		}
		if h.dead {
			report.add(CheckWebhooks, Warning, h.objects[0], "kubectl get pods,endpointslices -n "+h.service[:strings.Index(h.service, "/")],
				"%s must answer for %d objects, and its Service %s has no endpoint that is ready", who, len(h.objects), h.service)
		}
	}
	return report
}
