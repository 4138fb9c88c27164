package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// clientMinor is the minor version of client-go that this program is built
// with, 0.37 for Kubernetes 1.37.
const clientMinor = 37

// oldest is the first minor version with server-side apply as it is used
// here (KEP-555, stable).
const oldest = 22

// clockTolerance is by how much two clocks may differ: releases are dated and
// their lock ages by them.
const clockTolerance = 30 * time.Second

// Server is what an API server says of itself.
type Server struct {
	Version string // such as v1.36.3
	// Ahead is by how much the server's clock is ahead of ours, to the second.
	Ahead time.Duration
}

// AskServer asks an API server for its version and clock, in one request.
func AskServer(ctx context.Context, config *rest.Config) (Server, error) {
	var date string
	listening := rest.CopyConfig(config)
	listening.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil {
				date = response.Header.Get("Date")
			}
			return response, err
		})
	})
	client, err := discovery.NewDiscoveryClientForConfig(listening)
	if err != nil {
		return Server{}, err
	}
	before := time.Now()
	raw, err := client.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return Server{}, err
	}
	var said struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return Server{}, fmt.Errorf("read the server's version: %w", err)
	}
	return Server{Version: said.GitVersion, Ahead: ahead(date, before, time.Now())}, nil
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// ahead compares the Date header of an answer with the time between question
// and answer. The header has whole seconds, cut off.
func ahead(date string, before, after time.Time) time.Duration {
	there, err := http.ParseTime(date)
	switch {
	case err != nil:
		return 0 // not said
	case there.Add(time.Second).Before(before):
		return there.Add(time.Second).Sub(before).Truncate(time.Second)
	case there.After(after):
		return there.Sub(after).Truncate(time.Second)
	}
	return 0
}

// minor returns the minor version of v1.36.3 and its like, 0 when it says
// none.
func minor(version string) int {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) < 2 || parts[0] != "1" {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimRight(parts[1], "+"))
	if err != nil {
		return 0
	}
	return n
}

// server compares versions and clocks. Kubernetes supports a client within
// one minor version of its server (kubernetes.io, version skew policy).
func (c *Check) server(*view) Report {
	var report Report
	m := minor(c.Server.Version)
	switch {
	case m == 0:
		report.add(CheckServer, Warning, nil, "", "the server calls its version %q, so nobody knows whether it fits the client library for 1.%d", c.Server.Version, clientMinor)
	case m < oldest:
		report.add(CheckServer, Error, nil, "upgrade the cluster", "Kubernetes %s has no server-side apply; 1.%d is the first", c.Server.Version, oldest)
	case m < clientMinor-1 || m > clientMinor+1:
		report.add(CheckServer, Warning, nil, "use a release of kubectl-ai made for the server", "Kubernetes %s is outside what the client library for 1.%d supports, which is one minor version", c.Server.Version, clientMinor)
	default:
		report.add(CheckServer, Info, nil, "", "Kubernetes %s", c.Server.Version)
	}
	if d := c.Server.Ahead; d.Abs() > clockTolerance {
		word := "ahead of"
		if d < 0 {
			word = "behind"
		}
		report.add(CheckServer, Warning, nil, "set the clock, by NTP", "the server's clock is %s %s this machine's", d.Abs(), word)
	}
	return report
}
