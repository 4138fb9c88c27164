package router

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const gatewayText = `
metadata: {name: route, namespace: digits, generation: 3}
spec:
  gatewayClassName: kubectl-ai
  listeners: [{name: http, port: 80, protocol: HTTP}]`

// given makes objects of YAML: a Gateway, and routes named r0, r1, … by their
// order, the oldest first. Services serve and serve-canary are there.
func given(t *testing.T, gatewayYAML string, specs ...string) objects {
	t.Helper()
	o := objects{gateway: &gateway.Gateway{}}
	decode(t, gatewayYAML, o.gateway)
	for i, spec := range specs {
		route := &gateway.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("r%d", i), Namespace: "digits", Generation: 7}}
		decode(t, spec, &route.Spec)
		if route.Spec.ParentRefs == nil {
			route.Spec.ParentRefs = []gateway.ParentReference{{Name: "route"}}
		}
		o.routes = append(o.routes, route)
	}
	for _, name := range []string{"serve", "serve-canary"} {
		o.services = append(o.services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "digits"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8080}, {Port: 9000, AppProtocol: ptr("kubernetes.io/h2c")}}},
		})
	}
	return o
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
}

// world is a proxy in front of backends that say their name, and their host.
func world(t *testing.T, p *plan, down ...string) *Proxy {
	t.Helper()
	proxy := NewProxy(log.New(io.Discard, "", 0))
	proxy.table.Store(p.table)
	addresses := map[string]string{}
	for _, name := range []string{"serve", "serve-canary"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Removed", "yes")
			_, _ = fmt.Fprintf(w, "%s %s %s", name, r.Host, r.Header.Get("X-Stage"))
		}))
		t.Cleanup(s.Close)
		addresses[name+".digits.svc:8080"] = s.Listener.Addr().String()
		if slices.Contains(down, name) {
			s.Close()
		}
	}
	proxy.transport = &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addresses[address])
	}}
	return proxy
}

func call(p *Proxy, method, url string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

const canary = `{rules: [{backendRefs: [{name: serve, port: 8080, weight: 90}, {name: serve-canary, port: 8080, weight: 10}]}]}`

func TestWeightsAreKeptToTheRequest(t *testing.T) {
	t.Parallel()
	proxy := world(t, makePlan(given(t, gatewayText, canary), nil))
	got := map[string]int{}
	longest, run := 0, 0
	for range 1000 {
		name, _, _ := strings.Cut(call(proxy, "GET", "http://digits.example/").Body.String(), " ")
		got[name]++
		if run++; name == "serve-canary" {
			run = 0
		}
		longest = max(longest, run)
	}
	if diff := cmp.Diff(map[string]int{"serve": 900, "serve-canary": 100}, got); diff != "" {
		t.Error(diff)
	}
	if longest > 14 {
		t.Errorf("%d requests in a row without one for the canary: the turns are not spread", longest)
	}
	var out bytes.Buffer
	if err := proxy.WriteMetrics(&out); err != nil {
		t.Fatal(err)
	}
	if want := `router_requests_total{route="r0",backend="serve-canary",code="200"} 100` + "\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %s in\n%s", want, &out)
	}
}

func TestTurnsGoOnWhenARouteIsWrittenAgain(t *testing.T) {
	t.Parallel()
	p := makePlan(given(t, gatewayText, canary), nil)
	got := map[int]int{}
	for range 1000 {
		got[p.table.rules["digits/r0/0"].turns.next()]++
		p = makePlan(given(t, gatewayText, canary), p.table) // as after each status that somebody writes
	}
	if diff := cmp.Diff(map[int]int{0: 900, 1: 100}, got); diff != "" {
		t.Error(diff)
	}
	p = makePlan(given(t, gatewayText, strings.Replace(canary, "weight: 10}", "weight: 0}", 1)), p.table)
	for range 100 {
		if p.table.rules["digits/r0/0"].turns.next() != 0 {
			t.Fatal("a weight of 0 got a turn")
		}
	}
}

func TestWhichRuleARequestReaches(t *testing.T) {
	t.Parallel()
	to := func(name, match string) string {
		return `{matches: [` + match + `], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Stage, value: "` + name + `"}]}}], backendRefs: [{name: serve, port: 8080}]}`
	}
	o := given(t, gatewayText,
		`{rules: [`+to("all", `{}`)+`, `+to("v1", `{path: {value: /v1}}`)+`, `+to("v1-models", `{path: {value: /v1/models/}}`)+`, `+to("exact", `{path: {type: Exact, value: /v1/models}}`)+`]}`,
		`{rules: [`+to("post", `{path: {value: /v1}, method: POST}`)+`, `+to("beta", `{path: {value: /v1}, headers: [{name: X-Beta, value: "1"}]}`)+`, `+to("query", `{path: {value: /v1}, queryParams: [{name: q, value: a}]}`)+`]}`,
		`{hostnames: ["*.example.com"], rules: [`+to("wild", `{}`)+`]}`,
		`{hostnames: ["API.example.com"], rules: [`+to("api", `{}`)+`]}`,
		`{rules: [`+to("younger", `{path: {value: /v1}}`)+`]}`,
	)
	proxy := world(t, makePlan(o, nil))
	for _, c := range []struct {
		want, method, url string
		headers           []string
	}{
		{"all", "GET", "http://a.test/", nil},
		{"all", "GET", "http://a.test/v10", nil},
		{"v1", "GET", "http://a.test/v1", nil},
		{"v1", "GET", "http://a.test/v1/other", nil},
		{"exact", "GET", "http://a.test/v1/models", nil},
		{"v1-models", "GET", "http://a.test/v1/models/digits:predict", nil},
		{"post", "POST", "http://a.test/v1", nil},
		{"beta", "GET", "http://a.test/v1", []string{"X-Beta", "1"}},
		{"v1", "GET", "http://a.test/v1", []string{"X-Beta", "2"}},
		{"query", "GET", "http://a.test/v1?q=a", nil},
		{"v1", "GET", "http://a.test/v1?q=b", nil},
		{"post", "POST", "http://a.test/v1?q=a", []string{"X-Beta", "1"}},
		{"wild", "GET", "http://other.example.com:8080/v1", nil},
		{"wild", "GET", "http://deep.er.example.com/v1", nil},
		{"v1", "GET", "http://example.com/v1", nil},
		{"api", "GET", "http://api.EXAMPLE.com/v1", nil},
	} {
		got := call(proxy, c.method, c.url, c.headers...).Body.String()
		if stage := got[strings.LastIndex(got, " ")+1:]; stage != c.want {
			t.Errorf("%s %s %v reaches %q, want %s", c.method, c.url, c.headers, got, c.want)
		}
	}
}

func TestHeadersAreChangedAndTheHostIsKept(t *testing.T) {
	t.Parallel()
	o := given(t, gatewayText, `{rules: [{filters: [
		{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: X-Stage, value: added}], remove: [X-Stage]}},
		{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Set, value: "1"}], remove: [X-Removed]}}],
		backendRefs: [{name: serve, port: 8080}]}]}`)
	w := call(world(t, makePlan(o, nil)), "GET", "http://digits.example/", "X-Stage", "sent")
	if got := w.Body.String(); got != "serve digits.example " {
		t.Errorf("got %q", got)
	}
	if w.Header().Get("X-Set") != "1" || w.Header().Get("X-Removed") != "" {
		t.Errorf("got %v", w.Header())
	}
}

func TestWhatCannotBeServed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, route string
		gateway     string
		accepted    string // "" : as it should be
		resolved    string
		says        string
		codes       map[int]int // of 10 requests
		down        []string
	}{
		{name: "weights that add up to something else than 100", route: `{rules: [{backendRefs: [{name: serve, port: 8080, weight: 3}, {name: serve-canary, port: 8080, weight: 2}]}]}`, codes: map[int]int{200: 10}},
		{name: "weights that add up to 0", route: `{rules: [{backendRefs: [{name: serve, port: 8080, weight: 0}]}]}`, says: "the weights of rule 0 add up to 0", codes: map[int]int{500: 10}},
		{name: "no backends", route: `{rules: [{}]}`, says: "add up to 0", codes: map[int]int{500: 10}},
		{name: "a backend that is not there", route: `{rules: [{backendRefs: [{name: serve, port: 8080, weight: 7}, {name: gone, port: 8080, weight: 3}]}]}`, resolved: "BackendNotFound", says: "no Service gone", codes: map[int]int{200: 7, 500: 3}},
		{name: "a port that is not there", route: `{rules: [{backendRefs: [{name: serve, port: 80}]}]}`, resolved: "BackendNotFound", says: "no port 80", codes: map[int]int{500: 10}},
		{name: "another kind", route: `{rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: llm}]}]}`, resolved: "InvalidKind", says: "InferencePool", codes: map[int]int{500: 10}},
		{name: "another namespace", route: `{rules: [{backendRefs: [{name: serve, namespace: other, port: 8080}]}]}`, resolved: "RefNotPermitted", says: "namespace other", codes: map[int]int{500: 10}},
		{name: "another protocol", route: `{rules: [{backendRefs: [{name: serve, port: 9000}]}]}`, resolved: "UnsupportedProtocol", says: "h2c", codes: map[int]int{500: 10}},
		{name: "a filter that is not known", route: `{rules: [{backendRefs: [{name: serve, port: 8080}]}, {filters: [{type: RequestMirror, requestMirror: {backendRef: {name: serve, port: 8080}}}]}]}`, accepted: "UnsupportedValue", says: "rule 1: this router has no filter RequestMirror", codes: map[int]int{404: 10}},
		{name: "a filter of a backend", route: `{rules: [{backendRefs: [{name: serve, port: 8080, filters: [{type: RequestHeaderModifier}]}]}]}`, accepted: "UnsupportedValue", says: "filters of a backendRef", codes: map[int]int{404: 10}},
		{name: "timeouts", route: `{rules: [{timeouts: {request: 1s}, backendRefs: [{name: serve, port: 8080}]}]}`, accepted: "UnsupportedValue", says: "timeouts", codes: map[int]int{404: 10}},
		{name: "a regular expression", route: `{rules: [{matches: [{path: {type: RegularExpression, value: ".*"}}], backendRefs: [{name: serve, port: 8080}]}]}`, accepted: "UnsupportedValue", says: "RegularExpression", codes: map[int]int{404: 10}},
		{name: "a listener that is not there", route: `{parentRefs: [{name: route, sectionName: https}], rules: [{backendRefs: [{name: serve, port: 8080}]}]}`, accepted: "NoMatchingParent", codes: map[int]int{404: 10}},
		{name: "a listener of another protocol", gateway: strings.Replace(gatewayText, "protocol: HTTP", "protocol: HTTPS", 1), route: canary, accepted: "NoMatchingParent", codes: map[int]int{404: 10}},
		{name: "a host that no listener has", gateway: strings.Replace(gatewayText, "protocol: HTTP", "protocol: HTTP, hostname: one.example", 1), route: `{hostnames: [two.example], rules: [{backendRefs: [{name: serve, port: 8080}]}]}`, accepted: "NoMatchingListenerHostname", codes: map[int]int{404: 10}},
		{name: "a backend without pods", route: `{rules: [{backendRefs: [{name: serve, port: 8080}, {name: serve-canary, port: 8080}]}]}`, down: []string{"serve-canary"}, codes: map[int]int{200: 5, 503: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := c.gateway
			if text == "" {
				text = gatewayText
			}
			o := given(t, text, c.route)
			p := makePlan(o, nil)
			got := map[string]string{}
			var said string
			for _, cond := range p.parents[o.routes[0]][0].Conditions {
				if cond.ObservedGeneration != 7 {
					t.Errorf("%s is of generation %d", cond.Type, cond.ObservedGeneration)
				}
				got[cond.Type] = cond.Reason
				if cond.Status == metav1.ConditionTrue && cond.Reason != cond.Type {
					t.Errorf("%s is true because of %s", cond.Type, cond.Reason)
				}
				said += cond.Message + "\n"
			}
			want := map[string]string{"Accepted": "Accepted", "ResolvedRefs": "ResolvedRefs"}
			if c.accepted != "" {
				want["Accepted"] = c.accepted
			}
			if c.resolved != "" {
				want["ResolvedRefs"] = c.resolved
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("no %q in\n%s", c.says, said)
			}
			proxy := world(t, p, c.down...)
			codes := map[int]int{}
			for range 10 {
				codes[call(proxy, "GET", "http://one.example/").Code]++
			}
			if diff := cmp.Diff(c.codes, codes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARouteOfAnotherGatewayIsNotOurs(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{`{name: other}`, `{name: route, namespace: elsewhere}`, `{name: route, kind: Service, group: ""}`} {
		o := given(t, gatewayText, `{parentRefs: [`+ref+`], rules: [{backendRefs: [{name: serve, port: 8080}]}]}`)
		p := makePlan(o, nil)
		if len(p.table.entries) > 0 || len(p.parents) > 0 {
			t.Errorf("%s: %+v", ref, p)
		}
	}
}
