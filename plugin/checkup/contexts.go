package checkup

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

// Answer is what the API server of a context said to one request.
type Answer struct {
	Context string
	Current bool
	Version *version.Version
	Date    time.Time // of the server; zero: it did not say
	Asked   time.Time // on this machine, in the middle of the request
	// Certificate is the user's own, nil for one who has a token.
	Certificate *x509.Certificate
	Err         error
}

// Contexts judges which contexts answer.
func Contexts(answers []Answer) []doctor.Finding {
	const check = "contexts"
	var findings []doctor.Finding
	var alive []string
	for _, a := range answers {
		if a.Err == nil {
			alive = append(alive, a.Context)
			continue
		}
		name := "context " + a.Context
		if a.Current {
			name += ", the current one,"
		}
		fix := "kubectl config delete-context " + a.Context + ", if its cluster is gone"
		if strings.HasPrefix(a.Context, "kind-") {
			fix = "kubectl ai sandbox start --name " + strings.TrimPrefix(a.Context, "kind-") + ", or " + fix
		}
		findings = append(findings, warn(check, fix, "%s does not answer: %v", name, brief(a.Err)))
	}
	switch {
	case len(answers) == 0:
		return []doctor.Finding{ok(check, "none yet: kubectl ai sandbox create makes one")}
	case len(alive) > 0:
		findings = append(findings, ok(check, "%s", plural(len(alive))+": "+strings.Join(alive, ", ")))
	}
	return findings
}

func plural(n int) string {
	if n == 1 {
		return "1 answers"
	}
	return fmt.Sprintf("%d answer", n)
}

// brief is the end of a chain of errors, which says what happened.
func brief(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "\": "); i >= 0 {
		text = text[i+3:]
	}
	return strings.SplitN(text, "\n", 2)[0]
}

// Clocks that differ by more than mostSkew are told; the answer's Date has
// whole seconds and the way takes some time.
const mostSkew = 30 * time.Second

// Clock judges this machine's clock by the servers'.
func Clock(now time.Time, answers []Answer) doctor.Finding {
	const check, fix = "clock", "timedatectl set-ntp true, or set the clock"
	compared := 0
	for _, a := range answers {
		var invalid x509.CertificateInvalidError
		if errors.As(a.Err, &invalid) && invalid.Reason == x509.Expired {
			return warn(check, fix, "at %s the certificate of %s is not valid: the clock is wrong, or the certificate has run out (%s to %s)", stamp(now), a.Context, stamp(invalid.Cert.NotBefore), stamp(invalid.Cert.NotAfter))
		}
		if a.Date.IsZero() {
			continue
		}
		compared++
		if skew := a.Asked.Sub(a.Date); skew.Abs() > mostSkew {
			way := "ahead of"
			if skew < 0 {
				way = "behind"
			}
			return warn(check, fix, "%s %s that of %s: certificates, tokens and Leases are judged by it", skew.Abs().Round(time.Second), way, a.Context)
		}
	}
	if compared == 0 {
		return ok(check, "%s; no server to compare it with", stamp(now))
	}
	return ok(check, "as the servers' of %d contexts", compared)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// soon is when a certificate that runs out is told.
const soon = 7 * 24 * time.Hour

// Certificates judges the users' own certificates.
func Certificates(now time.Time, answers []Answer) []doctor.Finding {
	const check = "certificates"
	var findings []doctor.Finding
	n := 0
	for _, a := range answers {
		c := a.Certificate
		if c == nil {
			continue
		}
		n++
		fix := "ask for a new one"
		if strings.HasPrefix(a.Context, "kind-") {
			fix = "kubectl ai sandbox delete --name " + strings.TrimPrefix(a.Context, "kind-") + ", and create it anew"
		}
		switch {
		case now.Before(c.NotBefore):
			findings = append(findings, warn(check, "look at the clock of this machine", "yours for %s is valid from %s on, and it is %s here", a.Context, stamp(c.NotBefore), stamp(now)))
		case now.After(c.NotAfter):
			findings = append(findings, warn(check, fix, "yours for %s ran out at %s", a.Context, stamp(c.NotAfter)))
		case now.Add(soon).After(c.NotAfter):
			findings = append(findings, warn(check, fix, "yours for %s runs out at %s", a.Context, stamp(c.NotAfter)))
		}
	}
	if len(findings) == 0 && n > 0 {
		findings = append(findings, ok(check, "%d valid", n))
	}
	return findings
}

// Need is something that verbs do in a cluster.
type Need struct{ Verb, Group, Resource, Subresource string }

func (n Need) String() string {
	resource := n.Resource
	if n.Group != "" {
		resource += "." + n.Group
	}
	if n.Subresource != "" {
		resource += "/" + n.Subresource
	}
	return n.Verb + " " + resource
}

// Needs are what dev, run, status and why do in a namespace, beside applying
// the kinds of the bundle.
var Needs = []Need{
	{"list", "", "pods", ""},
	{"watch", "", "pods", ""},
	{"get", "", "pods", "log"},
	{"get", "", "pods", "exec"},
	{"create", "", "pods", "exec"},
	{"create", "", "configmaps", ""},
	{"patch", "", "configmaps", ""},
	{"create", "batch", "jobs", ""},
	{"patch", "batch", "jobs", ""},
	{"list", "", "events", ""},
}

// Permissions judges what a cluster permits in a namespace; refused are the
// needs that it does not.
func Permissions(context, namespace string, refused []Need, err error) doctor.Finding {
	const check = "permissions"
	if err != nil {
		return warn(check, "kubectl --context "+context+" auth can-i --list", "%s does not tell: %v", context, brief(err))
	}
	if len(refused) == 0 {
		return ok(check, "%s, namespace %s: what dev and run do", context, namespace)
	}
	var names []string
	for _, n := range refused {
		names = append(names, n.String())
	}
	return warn(check, "kubectl ai rbac --to ENVIRONMENT prints the Role to ask for", "%s, namespace %s: you may not %s", context, namespace, strings.Join(names, ", "))
}
