// Package router is the sandbox's gateway: an HTTP proxy that does what the
// HTTPRoutes of one Gateway say (Gateway API v1), with Services as backends
// and weights between them by smooth weighted round-robin. It reads a
// namespace and writes the status of what it read, as any implementation of
// the Gateway API does; in production another one reads the same objects.
//
// It serves what it understands: host, path (Exact, PathPrefix), headers, query
// parameters and method; filters that change headers. A route that asks for
// more is refused in its status (Accepted: False, UnsupportedValue) as a whole,
// and serves nothing: nothing is ignored in silence.
//
// plan.go makes a table of what is to be served, and the statuses, from
// objects alone; proxy.go serves a table; watch.go joins them to a cluster.
//
// Source: https://gateway-api.sigs.k8s.io/reference/spec/, GEP-1364 (status).
package router
