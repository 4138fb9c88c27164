package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Proxy serves a table, which may change at any time.
type Proxy struct {
	table     atomic.Pointer[table]
	transport http.RoundTripper
	log       *log.Logger

	mu     sync.Mutex
	counts map[answer]int
}

// answer is what is counted.
type answer struct {
	route, backend string // "": none
	code           int
}

// NewProxy returns a proxy that serves nothing yet.
func NewProxy(logger *log.Logger) *Proxy {
	p := &Proxy{log: logger, counts: map[answer]int{}, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
	}}
	p.table.Store(&table{})
	return p
}

// ServeHTTP sends a request to the backend whose turn it is. A request that no
// rule matches gets 404, one whose backend leads nowhere 500, one that no pod
// of a backend takes 503 (Gateway API, HTTPBackendRef).
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule := p.table.Load().find(r)
	if rule == nil {
		p.refuse(w, answer{code: http.StatusNotFound}, "no HTTPRoute matches "+r.Method+" "+r.Host+r.URL.Path)
		return
	}
	turn := rule.turns.next()
	if turn < 0 {
		p.refuse(w, answer{route: rule.route, code: http.StatusInternalServerError}, "HTTPRoute "+rule.route+" has no backend with a weight")
		return
	}
	b := rule.backends[turn]
	to, err := url.Parse(b.url)
	if b.url == "" || err != nil {
		p.refuse(w, answer{rule.route, b.name, http.StatusInternalServerError}, "HTTPRoute "+rule.route+": backend "+b.name+" leads nowhere; the route's status says why")
		return
	}
	(&httputil.ReverseProxy{
		Transport: p.transport, ErrorLog: p.log,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
			apply(rule.request, r.Out.Header)
		},
		ModifyResponse: func(r *http.Response) error {
			apply(rule.response, r.Header)
			p.count(answer{rule.route, b.name, r.StatusCode})
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			p.refuse(w, answer{rule.route, b.name, codeOf(err)}, "backend "+b.name+": "+err.Error())
		},
	}).ServeHTTP(w, r)
}

// codeOf tells a backend that nobody answers for from one that answered badly,
// and from a client that went away.
func codeOf(err error) int {
	var dial *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return 499 // as nginx counts it; nobody reads it
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &dial) && dial.Op == "dial":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

func (p *Proxy) refuse(w http.ResponseWriter, a answer, why string) {
	p.count(a)
	http.Error(w, why, a.code)
}

func (p *Proxy) count(a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[a]++
}

// WriteMetrics writes how many requests each backend answered, in the form
// that Prometheus reads.
func (p *Proxy) WriteMetrics(w io.Writer) error {
	p.mu.Lock()
	counts := maps.Clone(p.counts)
	p.mu.Unlock()
	var lines []string
	for a, n := range counts {
		lines = append(lines, fmt.Sprintf("router_requests_total{route=%q,backend=%q,code=\"%d\"} %d\n", a.route, a.backend, a.code, n))
	}
	slices.Sort(lines)
	_, err := fmt.Fprint(w, "# HELP router_requests_total Requests by the backend that they went to.\n# TYPE router_requests_total counter\n")
	for _, line := range lines {
		if err == nil {
			_, err = io.WriteString(w, line)
		}
	}
	return err
}
