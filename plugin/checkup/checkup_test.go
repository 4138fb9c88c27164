package checkup

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ai/kubectl-ai/plugin/setup"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func TestChecks(t *testing.T) {
	t.Parallel()
	ours := setup.Program{Path: "/krew/kubectl-ai", Ours: true}
	theirs := setup.Program{Path: "/usr/bin/kubectl-ai"}
	v := version.MustParseGeneric
	tail := []string{"127.0.0.1", "10.96.0.0/16", "10.244.0.0/16", ".svc", ".cluster.local"}
	local := "localhost," + strings.Join(tail, ",")
	for name, c := range map[string]struct {
		finding   doctor.Finding
		status    doctor.Status
		says, fix string
	}{
		"the plugin is on PATH":                      {Path([]setup.Program{ours}, "/krew/kubectl-ai", nil), doctor.OK, "/krew/kubectl-ai", ""},
		"the plugin is not on PATH":                  {Path(nil, "/opt/kubectl-ai", nil), doctor.Warn, "no kubectl-ai on it", `export PATH="/opt:$PATH"`},
		"another plugin comes first":                 {Path([]setup.Program{theirs, ours}, "/krew/kubectl-ai", []string{"run"}), doctor.Warn, "/usr/bin/kubectl-ai comes first", "/krew/kubectl-ai setup --coexist"},
		"another plugin, and links of all verbs":     {Path([]setup.Program{theirs, ours}, "/krew/kubectl-ai", nil), doctor.OK, "every verb of this one has a link", ""},
		"another plugin comes second":                {Path([]setup.Program{ours, theirs}, "/krew/kubectl-ai", nil), doctor.OK, "wins over another plugin, /usr/bin/kubectl-ai", ""},
		"completion":                                 {Completion(setup.Link{Path: "/b/c", State: setup.Present}), doctor.OK, "/b/c", ""},
		"no completion":                              {Completion(setup.Link{State: setup.Missing}), doctor.Warn, "does not complete", "kubectl ai setup"},
		"a link to a version that is gone":           {Completion(setup.Link{Path: "/b/c", State: setup.Stale}), doctor.Warn, "/b/c leads to nothing", "kubectl ai setup"},
		"a script of one's own":                      {Completion(setup.Link{Path: "/b/c", State: setup.Taken}), doctor.OK, "did not write", ""},
		"kubectl":                                    {Kubectl("/b/kubectl", v("1.36.3"), nil, v("1.37.0")), doctor.OK, "v1.36.3", ""},
		"kubectl, and no server to compare with":     {Kubectl("/b/kubectl", v("1.30.0"), nil, nil), doctor.OK, "v1.30.0", ""},
		"no kubectl":                                 {Kubectl("", nil, exec.ErrNotFound, nil), doctor.Warn, "works without it", "kubernetes.io"},
		"a kubectl that does not start":              {Kubectl("/b/kubectl", nil, errors.New("exec format error"), nil), doctor.Warn, "exec format error", "version --client"},
		"a kubectl that completes no plugins":        {Kubectl("/b/kubectl", v("1.25.16"), nil, v("1.25.0")), doctor.Warn, "needs v1.26", "kubernetes.io"},
		"a kubectl far from the server's version":    {Kubectl("/b/kubectl", v("1.34.0"), nil, v("1.36.3")), doctor.Warn, "one minor version of difference", "kubernetes.io"},
		"a kubectl newer than the server":            {Kubectl("/b/kubectl", v("1.36.0"), nil, v("1.34.3")), doctor.Warn, "one minor version of difference", "kubernetes.io"},
		"a cache":                                    {Cache("/c", nil), doctor.OK, "/c", ""},
		"a cache in a read-only home":                {Cache("/c", errors.New("read-only file system")), doctor.Warn, "read-only", "XDG_CACHE_HOME"},
		"a kubeconfig that cannot be written":        {Kubeconfig("/k", errors.New("permission denied")), doctor.Fail, "permission denied", "export KUBECONFIG"},
		"no proxy":                                   {Proxy("", "", nil), doctor.OK, "none", ""},
		"a proxy and nothing excepted":               {Proxy("http://proxy:3128", "", nil), doctor.Warn, "lacks localhost, 127.0.0.1, 10.96.0.0/16", "export NO_PROXY=" + local},
		"a proxy for servers that are near":          {Proxy("http://proxy:3128", local, []string{"10.0.0.4"}), doctor.Warn, "lacks 10.0.0.4", "export NO_PROXY=" + local + ",10.0.0.4"},
		"a proxy with all that is local excepted":    {Proxy("http://proxy:3128", strings.ReplaceAll(local, ".svc", "svc"), nil), doctor.OK, "has what is local", ""},
		"a proxy for nothing":                        {Proxy("http://proxy:3128", "*", nil), doctor.OK, "for nothing", ""},
		"permissions":                                {Permissions("c", "ns", nil, nil), doctor.OK, "namespace ns", ""},
		"permissions that lack":                      {Permissions("c", "ns", []Need{{"create", "batch", "jobs", ""}, {"create", "", "pods", "exec"}}, nil), doctor.Warn, "you may not create jobs.batch, create pods/exec", "kubectl ai rbac"},
		"permissions that nobody tells":              {Permissions("c", "ns", nil, errors.New("not found")), doctor.Warn, "not found", "auth can-i"},
		"a clock without a server":                   {Clock(now, nil), doctor.OK, "no server to compare", ""},
		"a clock as that of the server":              {Clock(now, []Answer{{Date: now, Asked: now.Add(900 * time.Millisecond)}}), doctor.OK, "1 contexts", ""},
		"a clock that is ahead":                      {Clock(now, []Answer{{Context: "c", Date: now, Asked: now.Add(5 * time.Minute)}}), doctor.Warn, "5m0s ahead of that of c", "timedatectl"},
		"a clock that is behind":                     {Clock(now, []Answer{{Context: "c", Date: now, Asked: now.Add(-time.Hour)}}), doctor.Warn, "1h0m0s behind that of c", "timedatectl"},
		"a clock at which no certificate is valid":   {Clock(now, []Answer{{Context: "c", Err: fmt.Errorf("tls: %w", x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{NotBefore: now.AddDate(1, 0, 0)}})}}), doctor.Warn, "the clock is wrong, or the certificate", "timedatectl"},
		"a clock, and a server of an unknown issuer": {Clock(now, []Answer{{Context: "c", Err: x509.UnknownAuthorityError{}}}), doctor.OK, "no server to compare", ""},
	} {
		f := c.finding
		if f.Status != c.status || !strings.Contains(f.Detail, c.says) || (c.fix == "") != (f.Fix == "") || !strings.Contains(f.Fix, c.fix) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// A dead context among good ones is named, and the good ones are told.
func TestADeadContextAmongGoodOnes(t *testing.T) {
	t.Parallel()
	findings := Contexts([]Answer{
		{Context: "kind-a"},
		{Context: "kind-b", Err: errors.New(`Get "https://127.0.0.1:1/version": dial tcp 127.0.0.1:1: connect: connection refused`), Current: true},
		{Context: "prod", Err: errors.New("context deadline exceeded")},
	})
	if len(findings) != 3 {
		t.Fatalf("%+v", findings)
	}
	for i, want := range []doctor.Finding{
		{Check: "contexts", Status: doctor.Warn, Detail: "context kind-b, the current one, does not answer: dial tcp 127.0.0.1:1: connect: connection refused", Fix: "kubectl ai sandbox start --name b, or kubectl config delete-context kind-b, if its cluster is gone"},
		{Check: "contexts", Status: doctor.Warn, Detail: "context prod does not answer: context deadline exceeded", Fix: "kubectl config delete-context prod, if its cluster is gone"},
		{Check: "contexts", Status: doctor.OK, Detail: "1 answers: kind-a"},
	} {
		if findings[i] != want {
			t.Errorf("%+v, want\n%+v", findings[i], want)
		}
	}
	if got := Contexts(nil); len(got) != 1 || got[0].Status != doctor.OK {
		t.Errorf("%+v", got)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	valid := func(from, to time.Duration) *x509.Certificate {
		return &x509.Certificate{NotBefore: now.Add(from), NotAfter: now.Add(to)}
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		certificate *x509.Certificate
		says        string
	}{
		"a good one":              {valid(-day, 365*day), "1 valid"},
		"one that ran out":        {valid(-365*day, -day), "ran out at 2026-11-25"},
		"one that runs out":       {valid(-365*day, 3*day), "runs out at 2026-11-29"},
		"one that is to be valid": {valid(day, 365*day), "and it is 2026-11-26 12:00Z here"},
	} {
		findings := Certificates(now, []Answer{{Context: "kind-a", Certificate: c.certificate}, {Context: "token"}})
		if len(findings) != 1 || !strings.Contains(findings[0].Detail, c.says) {
			t.Errorf("%s: %+v", name, findings)
		}
	}
	if got := Certificates(now, []Answer{{Context: "token"}}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestKubectlVersion(t *testing.T) {
	t.Parallel()
	v, err := KubectlVersion([]byte(`{"clientVersion": {"major": "1", "minor": "25+", "gitVersion": "v1.25.16-gke.100"}}`))
	if err != nil || v.Minor() != 25 {
		t.Errorf("%v, %v", v, err)
	}
	for _, out := range []string{"", "Client Version: v1.20", "{}", `{"clientVersion": {"gitVersion": "main"}}`} {
		if v, err := KubectlVersion([]byte(out)); err == nil {
			t.Errorf("%q is version %v", out, v)
		}
	}
}

func TestBundle(t *testing.T) {
	t.Parallel()
	findings := Bundle("/b/digits", map[string]error{"production": errors.New("no such file\nand more")}, []string{"production", "sandbox"})
	if len(findings) != 1 || findings[0].Status != doctor.Warn || !strings.Contains(findings[0].Detail, "production does not render: no such file") || strings.Contains(findings[0].Detail, "more") {
		t.Errorf("%+v", findings)
	}
	if got := Bundle("/b/digits", nil, []string{"sandbox"}); got[0].Detail != "digits renders for sandbox" {
		t.Errorf("%+v", got)
	}
}
