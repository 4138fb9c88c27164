package command

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"golang.org/x/sync/errgroup"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ai/kubectl-ai/plugin/checkup"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

const (
	// contextTime is how long a cluster may take to answer.
	contextTime = 2 * time.Second
	// fewContexts are asked without --contexts.
	fewContexts = 8
)

// clustersSeen is what the clusters of a kubeconfig said.
type clustersSeen struct {
	answers   []checkup.Answer
	context   string // the one that commands would go to, "" where none answers
	namespace string
	refused   []checkup.Need
	err       error // of asking for permissions
	now       time.Time
}

// askClusters asks each context once, all at the same time, and then the one
// that commands would go to what it permits.
func (o *DoctorOptions) askClusters(ctx context.Context, f *Factory) clustersSeen {
	seen := clustersSeen{now: time.Now()}
	raw, err := f.Flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return seen
	}
	current := currentContext(f)
	var g errgroup.Group
	names := o.chooseContexts(raw, current)
	seen.answers = make([]checkup.Answer, len(names))
	for i, name := range names {
		g.Go(func() error {
			seen.answers[i] = askContext(ctx, f, name)
			seen.answers[i].Current = name == current
			return nil
		})
	}
	_ = g.Wait()
	for _, name := range []string{current, sandboxHere(), defaultSandbox} {
		if slices.ContainsFunc(seen.answers, func(a checkup.Answer) bool { return a.Context == name && a.Err == nil }) {
			seen.context = name
			break
		}
	}
	if seen.context != "" {
		seen.namespace = f.Namespace()
		if seen.namespace == "" {
			seen.namespace = raw.Contexts[seen.context].Namespace
		}
		if seen.namespace == "" {
			seen.namespace = "default"
		}
		seen.refused, seen.err = askPermissions(ctx, f, seen.context, seen.namespace)
	}
	return seen
}

// sandboxHere is the context of the sandbox of the bundle in this folder.
func sandboxHere() string {
	p, err := project.Load(".")
	if err != nil {
		return ""
	}
	return p.Environments[project.Sandbox].Context
}

// chooseContexts returns the contexts to ask.
func (o *DoctorOptions) chooseContexts(raw api.Config, current string) []string {
	names := environmentNamesOf(raw.Contexts)
	cheap := len(names) <= fewContexts
	for _, user := range raw.AuthInfos {
		cheap = cheap && user.Exec == nil && user.AuthProvider == nil
	}
	if o.Contexts || cheap {
		return names
	}
	few := []string{current, sandboxHere(), defaultSandbox}
	return slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(few, name) })
}

// askContext asks for the server's version, which needs no permission.
func askContext(ctx context.Context, f *Factory, name string) (a checkup.Answer) {
	ctx, cancel := context.WithTimeout(ctx, contextTime)
	defer cancel()
	a.Context = name
	config, err := f.RESTConfig(name)
	if err != nil {
		a.Err = err
		return a
	}
	a.Certificate = certificateOf(config)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		a.Err = err
		return a
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		a.Err = err
		return a
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), nil)
	if err != nil {
		a.Err = err
		return a
	}
	begin := time.Now()
	response, err := client.Do(request)
	if err != nil {
		a.Err = err
		return a
	}
	defer func() { _ = response.Body.Close() }()
	a.Asked = begin.Add(time.Since(begin) / 2)
	a.Date, _ = http.ParseTime(response.Header.Get("Date"))
	if response.StatusCode == http.StatusUnauthorized {
		a.Err = fmt.Errorf("it does not know you: %s", response.Status)
		return a
	}
	var info struct {
		GitVersion string `json:"gitVersion"`
	}
	if json.NewDecoder(response.Body).Decode(&info) == nil {
		a.Version, _ = version.ParseGeneric(info.GitVersion)
	}
	return a
}

// certificateOf is the user's own certificate, nil where there is none.
func certificateOf(config *rest.Config) *x509.Certificate {
	if rest.LoadTLSFiles(config) != nil {
		return nil
	}
	block, _ := pem.Decode(config.CertData)
	if block == nil {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return certificate
}

// askPermissions asks the server itself, once a need, all at the same time.
func askPermissions(ctx context.Context, f *Factory, context, namespace string) ([]checkup.Need, error) {
	config, err := f.RESTConfig(context)
	if err != nil {
		return nil, err
	}
	config.Timeout = 2 * contextTime
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	permitted := make([]bool, len(checkup.Needs))
	g, ctx := errgroup.WithContext(ctx)
	for i, n := range checkup.Needs {
		g.Go(func() error {
			review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorization.SelfSubjectAccessReview{
				Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{
					Namespace: namespace, Verb: n.Verb, Group: n.Group, Resource: n.Resource, Subresource: n.Subresource,
				}},
			}, metav1.CreateOptions{})
			if err == nil {
				permitted[i] = review.Status.Allowed
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var refused []checkup.Need
	for i, n := range checkup.Needs {
		if !permitted[i] {
			refused = append(refused, n)
		}
	}
	return refused, nil
}

// server is the version of the cluster that commands would go to.
func (s clustersSeen) server() *version.Version {
	for _, a := range s.answers {
		if a.Context == s.context {
			return a.Version
		}
	}
	return nil
}

func (s clustersSeen) findings() []doctor.Finding {
	findings := append(checkup.Contexts(s.answers), checkup.Clock(s.now, s.answers))
	findings = append(findings, checkup.Certificates(s.now, s.answers)...)
	if s.context != "" {
		findings = append(findings, checkup.Permissions(s.context, s.namespace, s.refused, s.err))
	}
	return findings
}
