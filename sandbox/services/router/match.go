package router

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// match is one way for a request to reach a rule. Its zero value matches all.
type match struct {
	host    string // "": any; *.example: one or more labels before .example
	path    string
	exact   bool
	method  string
	headers []pair
	query   []pair
}

type pair struct{ name, value string }

func (m *match) fits(r *http.Request) bool {
	switch {
	case !hostFits(m.host, hostOf(r.Host)):
		return false
	case m.exact && r.URL.Path != m.path:
		return false
	case !m.exact && !hasPrefix(r.URL.Path, m.path):
		return false
	case m.method != "" && r.Method != m.method:
		return false
	}
	for _, h := range m.headers {
		if strings.Join(r.Header.Values(h.name), ",") != h.value {
			return false
		}
	}
	query := r.URL.Query()
	return !slices.ContainsFunc(m.query, func(q pair) bool { return query.Get(q.name) != q.value || !query.Has(q.name) })
}

// hasPrefix compares whole elements of a path: /v1 is a prefix of /v1/models
// and none of /v10.
func hasPrefix(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

func hostOf(hostport string) string {
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		hostport = hostport[:i]
	}
	return strings.ToLower(hostport)
}

func hostFits(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return pattern == "" || pattern == host
}

// narrow returns the hosts that both a listener and a route want, none when
// they have nothing in common.
func narrow(listener string, route []string) []string {
	if len(route) == 0 {
		return []string{listener}
	}
	var out []string
	for _, host := range route {
		switch {
		case listener == "" || hostFits(listener, host):
			out = append(out, host)
		case hostFits(host, listener):
			out = append(out, listener)
		}
	}
	return out
}

// compare orders matches as the Gateway API wants them tried: the more a match
// says of the request, the earlier.
func compare(a, b *match) int {
	return cmp.Or(
		compareHosts(a.host, b.host),
		-cmp.Compare(number(a.exact), number(b.exact)),
		-cmp.Compare(len(a.path), len(b.path)),
		-cmp.Compare(number(a.method != ""), number(b.method != "")),
		-cmp.Compare(len(a.headers), len(b.headers)),
		-cmp.Compare(len(a.query), len(b.query)),
	)
}

func compareHosts(a, b string) int {
	return cmp.Or(
		-cmp.Compare(number(a != "" && a[0] != '*'), number(b != "" && b[0] != '*')),
		-cmp.Compare(len(a), len(b)),
	)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// parse reads a match of a rule.
func parse(m gateway.HTTPRouteMatch) (match, error) {
	out := match{path: "/"}
	if m.Path != nil {
		if m.Path.Value != nil {
			out.path = *m.Path.Value
		}
		switch kind := value(m.Path.Type, gateway.PathMatchPathPrefix); kind {
		case gateway.PathMatchPathPrefix:
		case gateway.PathMatchExact:
			out.exact = true
		default:
			return match{}, unsupported("path matches of type %s", kind)
		}
	}
	if m.Method != nil {
		out.method = string(*m.Method)
	}
	for _, h := range m.Headers {
		if kind := value(h.Type, gateway.HeaderMatchExact); kind != gateway.HeaderMatchExact {
			return match{}, unsupported("header matches of type %s", kind)
		}
		out.headers = append(out.headers, pair{string(h.Name), h.Value})
	}
	for _, q := range m.QueryParams {
		if kind := value(q.Type, gateway.QueryParamMatchExact); kind != gateway.QueryParamMatchExact {
			return match{}, unsupported("query parameter matches of type %s", kind)
		}
		out.query = append(out.query, pair{string(q.Name), q.Value})
	}
	return out, nil
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
