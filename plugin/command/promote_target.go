package command

import (
	"context"
	"fmt"
	"os/user"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// production is an environment's cluster, as a promotion sees it.
type production struct {
	*rendered
	*promote.Promoter
	context  string
	progress *term.Progress
}

// openProduction renders an environment of a bundle and connects to its
// cluster. It refuses the cluster of the sandbox environment.
func openProduction(ctx context.Context, f *Factory, dir, environment string) (*production, error) {
	r, err := render(dir, environment, f.Namespace())
	if err != nil {
		return nil, err
	}
	p := &production{rendered: r, context: r.env.Context, progress: term.NewProgress(f.Streams)}
	if f.Flags.Context != nil && *f.Flags.Context != "" {
		p.context = *f.Flags.Context
	}
	if p.context == "" {
		return nil, &promote.NoContextError{Environment: environment}
	}
	config, err := f.RESTConfig(p.context)
	if err != nil {
		return nil, err
	}
	client, err := apply.New(config)
	if err != nil {
		return nil, err
	}
	if err := refuseSandbox(ctx, f, p, config, client); err != nil {
		return nil, err
	}
	version := serverVersion(config)
	if _, err := version(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &promote.UnreachableError{Context: p.context, Server: config.Host, Err: err}
	}
	p.Promoter = &promote.Promoter{
		Cluster:  client,
		Store:    &release.Store{Client: client.Dynamic, Project: r.project.Name, Namespace: r.namespace},
		Target:   promote.Target{Project: r.project.Name, Environment: environment, Context: p.context, Server: config.Host, Namespace: r.namespace},
		Reporter: p.progress,
		Version:  version,
		Who:      func(ctx context.Context) string { return who(ctx, client) },
		Now:      time.Now,
	}
	return p, client.Localize(r.objects, r.namespace)
}

// refuseSandbox refuses the cluster of the sandbox environment, known by its
// address or, behind another address, by the UID of its kube-system.
func refuseSandbox(ctx context.Context, f *Factory, p *production, config *rest.Config, client *apply.Client) error {
	sandbox, err := p.project.Environment(project.Sandbox)
	if err != nil {
		sandbox = project.Environment{Name: project.Sandbox}
	}
	if sandbox.Context == "" {
		sandbox.Context = defaultSandbox
	}
	refusal := &promote.SandboxTargetError{Environment: p.env.Name, Context: p.context, Sandbox: sandbox.Context}
	if p.env.Name == project.Sandbox || sandbox.Context == p.context {
		return refusal
	}
	own, err := f.RESTConfig(sandbox.Context)
	if err != nil {
		return nil // no sandbox here that could be meant
	}
	if promote.SameServer(own.Host, config.Host) {
		return refusal
	}
	own.Timeout = sandboxPatience
	other, err := apply.New(own)
	if err != nil {
		return err
	}
	here, err := systemUID(ctx, client)
	if err != nil || here == "" {
		return nil // the version, asked next, says why
	}
	if there, err := systemUID(ctx, other); err == nil && there == here {
		return refusal
	}
	return nil
}

// sandboxPatience is how long a sandbox may take to say who it is; a stopped
// one never does.
const sandboxPatience = 3 * time.Second

func systemUID(ctx context.Context, client *apply.Client) (string, error) {
	ns, err := client.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, "kube-system", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(ns.GetUID()), nil
}

// serverVersion asks a server for its version each time it is called.
func serverVersion(config *rest.Config) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		client, err := discovery.NewDiscoveryClientForConfig(config)
		if err != nil {
			return "", err
		}
		raw, err := client.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
		if err != nil {
			return "", err
		}
		return promote.ParseVersion(raw)
	}
}

// who promotes: the user of this machine and the name that the cluster knows
// him by.
func who(ctx context.Context, client *apply.Client) string {
	local := "unknown"
	if u, err := user.Current(); err == nil {
		local = u.Username
	}
	review, err := client.Dynamic.Resource(schema.GroupVersionResource{Group: "authentication.k8s.io", Version: "v1", Resource: "selfsubjectreviews"}).
		Create(ctx, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}}, metav1.CreateOptions{})
	if err != nil {
		return local
	}
	if name, _, _ := unstructured.NestedString(review.Object, "status", "userInfo", "username"); name != "" && name != local {
		return fmt.Sprintf("%s (%s)", local, name)
	}
	return local
}

// architectures are those of the target's nodes; none where they cannot be
// listed.
func (p *production) architectures(ctx context.Context) ([]string, error) {
	nodes, err := p.Cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return promote.Architectures(nodes.Items), nil
}

// confirm asks before a cluster is changed: a kind cluster by yes, any other
// by its context's name.
func (p *production) confirm(ctx context.Context, f *Factory) error {
	if strings.HasPrefix(p.context, "kind-") {
		return f.Streams.Confirm(ctx, fmt.Sprintf("Apply this to %s, namespace %s?", p.context, p.namespace))
	}
	typed, err := f.Streams.Ask(ctx, fmt.Sprintf("Type the context's name (%s) to apply this to it: ", p.context))
	if err != nil {
		return err
	}
	if typed != p.context {
		return term.ErrDeclined
	}
	return nil
}
