package router

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// Controller is the router in statuses.
const Controller gateway.GatewayController = "kubectl-ai.dev/router"

// objects are what a table is made of.
type objects struct {
	gateway  *gateway.Gateway // nil: not there
	routes   []*gateway.HTTPRoute
	services []*corev1.Service
}

// table is what is served: matches in the order in which they are tried.
type table struct {
	entries []entry
	rules   map[string]*rule // by id
}

type entry struct {
	match
	rule *rule
}

func (t *table) find(r *http.Request) *rule {
	for i := range t.entries {
		if t.entries[i].fits(r) {
			return t.entries[i].rule
		}
	}
	return nil
}

// plan is a table with what it says of the objects that it was made of.
type plan struct {
	table   *table
	gateway gateway.GatewayStatus
	parents map[*gateway.HTTPRoute][]gateway.RouteParentStatus // ours alone
}

// makePlan makes a table of objects. Rules that are as they were in the table
// before keep their turns.
func makePlan(o objects, before *table) *plan {
	p := &plan{table: &table{rules: map[string]*rule{}}, parents: map[*gateway.HTTPRoute][]gateway.RouteParentStatus{}}
	if o.gateway == nil {
		return p
	}
	routes := slices.Clone(o.routes)
	slices.SortFunc(routes, func(a, b *gateway.HTTPRoute) int { // the older one, then by name
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	attached := map[gateway.SectionName]int32{}
	for _, route := range routes {
		for _, ref := range route.Spec.ParentRefs {
			if !means(ref, route, o.gateway) {
				continue
			}
			p.attach(o, route, ref, before, attached)
		}
	}
	slices.SortStableFunc(p.table.entries, func(a, b entry) int { return compare(&a.match, &b.match) })
	p.gateway = gatewayStatus(o.gateway, attached)
	return p
}

// means says whether a route's parentRef is the Gateway.
func means(ref gateway.ParentReference, route *gateway.HTTPRoute, g *gateway.Gateway) bool {
	return value(ref.Group, gateway.GroupName) == gateway.GroupName && value(ref.Kind, "Gateway") == "Gateway" &&
		string(value(ref.Namespace, gateway.Namespace(route.Namespace))) == g.Namespace && string(ref.Name) == g.Name
}

// attach adds a route to the table, at the listeners that its parentRef means.
func (p *plan) attach(o objects, route *gateway.HTTPRoute, ref gateway.ParentReference, before *table, attached map[gateway.SectionName]int32) {
	status := gateway.RouteParentStatus{ParentRef: ref, ControllerName: Controller}
	say := func(kind gateway.RouteConditionType, ok bool, reason gateway.RouteConditionReason, message string) {
		status.Conditions = append(status.Conditions, condition(string(kind), ok, string(reason), message, route.Generation))
	}
	defer func() { p.parents[route] = append(p.parents[route], status) }()

	rules, unresolved, err := p.rules(o, route, before)
	if unresolved != nil {
		say(gateway.RouteConditionResolvedRefs, false, unresolved.reason, unresolved.Error())
	} else {
		say(gateway.RouteConditionResolvedRefs, true, gateway.RouteReasonResolvedRefs, "all backends are Services that are there")
	}
	var foreign *unsupportedError
	if errors.As(err, &foreign) {
		say(gateway.RouteConditionAccepted, false, gateway.RouteReasonUnsupportedValue, err.Error()+": the route serves nothing")
		return
	}
	listeners, hosts := 0, 0
	for _, l := range o.gateway.Spec.Listeners {
		if !served(l) || ref.SectionName != nil && *ref.SectionName != l.Name || ref.Port != nil && *ref.Port != l.Port {
			continue
		}
		listeners++
		common := narrow(strings.ToLower(string(value(l.Hostname, ""))), lower(route.Spec.Hostnames))
		if len(common) == 0 {
			continue
		}
		hosts += len(common)
		attached[l.Name]++
		for _, r := range rules {
			p.table.rules[r.rule.id] = r.rule
			for _, host := range common {
				for _, m := range r.matches {
					m.host = host
					p.table.entries = append(p.table.entries, entry{m, r.rule})
				}
			}
		}
	}
	switch {
	case listeners == 0:
		say(gateway.RouteConditionAccepted, false, gateway.RouteReasonNoMatchingParent, "the Gateway has no such HTTP listener")
	case hosts == 0:
		say(gateway.RouteConditionAccepted, false, gateway.RouteReasonNoMatchingListenerHostname, "no listener has a hostname of the route")
	default:
		say(gateway.RouteConditionAccepted, true, gateway.RouteReasonAccepted, accepted(rules))
	}
}

// accepted says what is served, and what of it answers 500 as it is written.
func accepted(rules []parsedRule) string {
	var idle []string
	for i, r := range rules {
		if r.rule.turns.total == 0 {
			idle = append(idle, fmt.Sprint(i))
		}
	}
	if idle != nil {
		return "the weights of rule " + strings.Join(idle, ", ") + " add up to 0: every request to it gets 500"
	}
	return "the route is served"
}

type parsedRule struct {
	rule    *rule
	matches []match
}

// rules reads the rules of a route. One that asks for what the router has not
// is *unsupportedError; backends that lead nowhere are said beside that.
func (p *plan) rules(o objects, route *gateway.HTTPRoute, before *table) ([]parsedRule, *refError, error) {
	var out []parsedRule
	var unresolved *refError
	var failed error
	for i, spec := range route.Spec.Rules {
		r, matches, err := parseRule(spec)
		if err != nil {
			failed = cmp.Or(failed, fmt.Errorf("rule %d: %w", i, err))
			r = &rule{}
		}
		r.route = route.Name
		r.id = fmt.Sprintf("%s/%s/%d", route.Namespace, route.Name, i)
		for _, ref := range spec.BackendRefs {
			b, wrong := resolve(ref.BackendRef, route.Namespace, o.services)
			if wrong != nil && unresolved == nil {
				unresolved = wrong
			}
			r.backends = append(r.backends, b)
		}
		var former *rule
		if before != nil {
			former = before.rules[r.id]
		}
		r.balance(former)
		out = append(out, parsedRule{r, matches})
	}
	return out, unresolved, failed
}

// refError says why a backendRef leads nowhere.
type refError struct {
	reason gateway.RouteConditionReason
	what   string
}

func (e *refError) Error() string { return e.what }

// resolve finds the Service of a backendRef.
func resolve(ref gateway.BackendRef, namespace string, services []*corev1.Service) (backend, *refError) {
	b := backend{name: string(ref.Name), weight: int64(value(ref.Weight, 1))}
	in := string(value(ref.Namespace, gateway.Namespace(namespace)))
	switch {
	case value(ref.Group, "") != "" || value(ref.Kind, "Service") != "Service":
		return b, &refError{gateway.RouteReasonInvalidKind, fmt.Sprintf("backend %s is a %s, want a Service", ref.Name, value(ref.Kind, "Service"))}
	case in != namespace:
		return b, &refError{gateway.RouteReasonRefNotPermitted, fmt.Sprintf("backend %s is in namespace %s: this router reads %s alone", ref.Name, in, namespace)}
	}
	at := slices.IndexFunc(services, func(s *corev1.Service) bool { return s.Name == string(ref.Name) })
	if at < 0 {
		return b, &refError{gateway.RouteReasonBackendNotFound, fmt.Sprintf("there is no Service %s", ref.Name)}
	}
	port := slices.IndexFunc(services[at].Spec.Ports, func(p corev1.ServicePort) bool { return ref.Port != nil && p.Port == *ref.Port })
	switch {
	case port < 0:
		return b, &refError{gateway.RouteReasonBackendNotFound, fmt.Sprintf("Service %s has no port %d", ref.Name, value(ref.Port, 0))}
	case value(services[at].Spec.Ports[port].AppProtocol, "http") != "http":
		return b, &refError{gateway.RouteReasonUnsupportedProtocol, fmt.Sprintf("port %d of Service %s speaks %s, want http", *ref.Port, ref.Name, *services[at].Spec.Ports[port].AppProtocol)}
	}
	b.url = fmt.Sprintf("http://%s.%s.svc:%d", ref.Name, namespace, *ref.Port)
	return b, nil
}

func lower(names []gateway.Hostname) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToLower(string(n))
	}
	return out
}

func condition(kind string, ok bool, reason, message string, generation int64) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: generation}
	if !ok {
		c.Status = metav1.ConditionFalse
	}
	return c
}
