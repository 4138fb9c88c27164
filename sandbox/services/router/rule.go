package router

import (
	"fmt"
	"net/http"
	"slices"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// rule is what happens to the requests that match it.
type rule struct {
	id       string // NAMESPACE/NAME/INDEX: of the route, and of the rule in it
	route    string
	backends []backend
	turns    *balancer
	request  []edit
	response []edit
}

// backend is a Service, or a reference that leads nowhere.
type backend struct {
	name   string
	url    string // "": nowhere; its share of the requests gets 500
	weight int64
}

// edit changes a header.
type edit struct {
	name, value string
	how         func(h http.Header, name, value string)
}

// unsupportedError says what a route asks for and the router has not.
type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string { return "this router has no " + e.what }

func unsupported(format string, args ...any) error {
	return &unsupportedError{fmt.Sprintf(format, args...)}
}

// parseRule reads a rule of a route. Its backends are not looked up yet.
func parseRule(r gateway.HTTPRouteRule) (*rule, []match, error) {
	switch {
	case r.Timeouts != nil:
		return nil, nil, unsupported("timeouts")
	case r.Retry != nil:
		return nil, nil, unsupported("retries")
	case r.SessionPersistence != nil:
		return nil, nil, unsupported("session persistence")
	}
	out := &rule{}
	for _, f := range r.Filters {
		switch f.Type {
		case gateway.HTTPRouteFilterRequestHeaderModifier:
			out.request = append(out.request, edits(f.RequestHeaderModifier)...)
		case gateway.HTTPRouteFilterResponseHeaderModifier:
			out.response = append(out.response, edits(f.ResponseHeaderModifier)...)
		default:
			return nil, nil, unsupported("filter %s", f.Type)
		}
	}
	for _, b := range r.BackendRefs {
		if len(b.Filters) > 0 {
			return nil, nil, unsupported("filters of a backendRef")
		}
	}
	matches := []match{{path: "/"}}
	if len(r.Matches) > 0 {
		matches = nil
	}
	for _, m := range r.Matches {
		parsed, err := parse(m)
		if err != nil {
			return nil, nil, err
		}
		matches = append(matches, parsed)
	}
	return out, matches, nil
}

func edits(f *gateway.HTTPHeaderFilter) (out []edit) {
	if f == nil {
		return nil
	}
	for _, h := range f.Set {
		out = append(out, edit{string(h.Name), h.Value, http.Header.Set})
	}
	for _, h := range f.Add {
		out = append(out, edit{string(h.Name), h.Value, http.Header.Add})
	}
	for _, name := range f.Remove {
		out = append(out, edit{name: name, how: func(h http.Header, name, _ string) { h.Del(name) }})
	}
	return out
}

func apply(edits []edit, h http.Header) {
	for _, e := range edits {
		e.how(h, e.name, e.value)
	}
}

// balance makes the rule's turns, or takes those of the rule that was there
// before: a route that is written again, and its weights are the same, does
// not begin anew.
func (r *rule) balance(before *rule) {
	if before != nil && slices.Equal(before.backends, r.backends) {
		r.turns = before.turns
		return
	}
	weights := make([]int64, len(r.backends))
	for i, b := range r.backends {
		weights[i] = b.weight
	}
	r.turns = newBalancer(weights)
}
