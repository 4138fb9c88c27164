package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// production is a cluster of an environment, as a promotion sees it.
type production struct {
	*rendered
	*promote.Promoter
	cluster  string // its name where the environment has several; else ""
	context  string
	config   *rest.Config
	pinned   bool // the project file says which cluster the context is
	progress *term.Progress
	arches   []string // for which images are made; nil: those of the cluster
	detached bool     // the cluster is not asked
}

// openProduction renders an environment of a bundle and connects to its one
// cluster, or to the one that is named. It refuses the cluster of the sandbox environment, and one that is
// another than the project file pins.
func openProduction(ctx context.Context, f *Factory, dir, environment string, cluster []string) (*production, error) {
	p, err := project.Load(dir)
	if err != nil {
		return nil, err
	}
	env, err := p.Environment(environment)
	if err != nil {
		return nil, err
	}
	if len(env.Clusters) > 1 && len(cluster) != 1 {
		many := &promote.ManyClustersError{Environment: environment}
		for _, c := range env.Clusters {
			many.Clusters = append(many.Clusters, c.Name)
		}
		return nil, many
	}
	all, err := openClusters(ctx, f, dir, environment, cluster)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// openClusters connects to the clusters of an environment, those that are
// named or all. Each is asked who it is before anything else is read.
func openClusters(ctx context.Context, f *Factory, dir, environment string, named []string) ([]*production, error) {
	r, err := render(f, dir, environment)
	if err != nil {
		return nil, err
	}
	clusters, err := chooseClusters(f, r.env, named)
	if err != nil {
		return nil, err
	}
	var all []*production
	progress := term.NewProgress(f.Streams)
	for i, c := range clusters {
		if i > 0 { // plans edit the objects
			if r, err = render(f, dir, environment); err != nil {
				return nil, err
			}
		}
		if err := r.settle(f, c.Context); err != nil {
			return nil, err
		}
		p := &production{rendered: r, cluster: c.Name, context: c.Context, pinned: c.UID != "", progress: progress}
		if p.context == "" {
			return nil, &promote.NoContextError{Environment: environment}
		}
		if p.config, err = f.RESTConfig(p.context); err != nil {
			return nil, err
		}
		client, err := apply.New(p.config)
		if err != nil {
			return nil, err
		}
		p.Promoter = &promote.Promoter{Cluster: client}
		all = append(all, p)
	}
	group, gctx := errgroup.WithContext(ctx)
	for i, p := range all {
		group.Go(func() error { return p.identify(gctx, clusters[i].UID) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	group, gctx = errgroup.WithContext(ctx)
	for _, p := range all {
		group.Go(func() error { return p.connect(gctx, f) })
	}
	return all, group.Wait()
}

// chooseClusters returns the clusters of an environment that are meant. An
// environment with a context of its own is one cluster without a name.
func chooseClusters(f *Factory, env project.Environment, named []string) ([]project.Cluster, error) {
	given := ""
	if f.Flags.Context != nil {
		given = *f.Flags.Context
	}
	if len(env.Clusters) == 0 {
		if len(named) > 0 {
			return nil, &promote.UnknownClusterError{Environment: env.Name, Cluster: named[0]}
		}
		return []project.Cluster{{Context: cmp.Or(given, env.Context), UID: env.ClusterUID}}, nil
	}
	if given != "" {
		return nil, explain.Usagef("--context %s: environment %s has clusters with contexts of their own; choose some with --cluster", given, env.Name)
	}
	if len(named) == 0 {
		return env.Clusters, nil
	}
	var known []string
	for _, c := range env.Clusters {
		known = append(known, c.Name)
	}
	for _, name := range named {
		if !slices.Contains(known, name) {
			return nil, &promote.UnknownClusterError{Environment: env.Name, Cluster: name, Known: known}
		}
	}
	return slices.DeleteFunc(slices.Clone(env.Clusters), func(c project.Cluster) bool { return !slices.Contains(named, c.Name) }), nil
}

// identify refuses a cluster that is another than the one that is pinned.
func (p *production) identify(ctx context.Context, want string) error {
	if want == "" {
		return nil
	}
	got, err := systemUID(ctx, p.Cluster)
	var status apierrors.APIStatus
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &status):
		return &promote.IdentityError{Environment: p.env.Name, Context: p.context, Want: want, Err: err}
	case err != nil:
		return &promote.UnreachableError{Context: p.context, Server: p.config.Host, Err: err}
	case got != want:
		return &promote.IdentityError{Environment: p.env.Name, Context: p.context, Want: want, Got: got}
	}
	return nil
}

// connect makes what a promotion needs of a cluster.
func (p *production) connect(ctx context.Context, f *Factory) error {
	client := p.Cluster
	if err := refuseSandbox(ctx, f, p, p.config, client); err != nil {
		return err
	}
	server, err := preflight.AskServer(ctx, p.config)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &promote.UnreachableError{Context: p.context, Server: p.config.Host, Err: err}
	}
	p.Promoter = &promote.Promoter{
		Cluster:    client,
		Store:      &release.Store{Client: client.Dynamic, Project: p.project.Name, Namespace: p.namespace},
		Target:     promote.Target{Project: p.project.Name, Environment: p.env.Name, Context: p.context, Server: p.config.Host, Namespace: p.namespace, Pinned: p.pinned},
		Reporter:   p.progress,
		Server:     server,
		Who:        func(ctx context.Context) string { return who(ctx, client) },
		Host:       host(),
		Namespaced: namespaced(p.config),
		Now:        time.Now,
		Log:        logsOf(p.config),
		OnNode:     onNode(f, p.context),
	}
	return client.Localize(p.objects, p.namespace)
}

// logsOf opens the logs of a cluster's containers.
func logsOf(config *rest.Config) promote.Log {
	return func(ctx context.Context, namespace, pod, container string, since time.Time, follow bool) (io.ReadCloser, error) {
		client, err := clientset.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		o := &corev1.PodLogOptions{Container: container, Timestamps: true, Follow: follow}
		if !since.IsZero() {
			at := metav1.NewTime(since)
			o.SinceTime = &at
		}
		return client.CoreV1().Pods(namespace).GetLogs(pod, o).Stream(ctx)
	}
}

// onNode looks into the nodes of a sandbox that is on this machine.
func onNode(f *Factory, kubeContext string) func(context.Context, string, string) bool {
	var sandbox *loadedImages // once it was asked for
	return func(ctx context.Context, node, ref string) bool {
		if sandbox == nil {
			found, _ := openSandbox(ctx, f, kubeContext) // one that is elsewhere has no nodes here
			sandbox = &found
		}
		for _, n := range sandbox.cluster.Nodes {
			if n.Name == node {
				return image.Present(ctx, n, ref)
			}
		}
		return false
	}
}

// refuseSandbox refuses the cluster of the sandbox environment, known by its
// address or, behind another address, by the UID of its kube-system. An
// environment may say that it is meant to be there.
func refuseSandbox(ctx context.Context, f *Factory, p *production, config *rest.Config, client *apply.Client) error {
	if p.env.InSandbox && p.env.Name != project.Sandbox {
		return nil
	}
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

// host is what this machine is called.
func host() string {
	name, err := os.Hostname()
	if err != nil {
		return "an unknown machine"
	}
	return name
}

// namespaced lists the kinds that live in namespaces, each in the version that
// the server prefers. What an aggregated API that is down serves is left out.
func namespaced(config *rest.Config) func(context.Context) ([]schema.GroupVersionResource, error) {
	return func(context.Context) ([]schema.GroupVersionResource, error) {
		client, err := discovery.NewDiscoveryClientForConfig(config)
		if err != nil {
			return nil, err
		}
		lists, err := client.ServerPreferredNamespacedResources()
		if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
			return nil, err
		}
		kinds, err := discovery.GroupVersionResources(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, lists))
		return slices.Collect(maps.Keys(kinds)), err
	}
}

// architectures are those of the target's nodes; none where they cannot be
// listed.
func (p *production) architectures(ctx context.Context) ([]string, error) {
	if p.arches != nil {
		return p.arches, nil
	}
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
// by its context's name. what is how the question begins.
func (p *production) confirm(ctx context.Context, f *Factory, what string) error {
	question := fmt.Sprintf("%s %s, namespace %s?", what, p.context, p.namespace)
	if strings.HasPrefix(p.context, "kind-") {
		return f.Streams.Confirm(ctx, question)
	}
	typed, err := f.Streams.Ask(ctx, fmt.Sprintf("%s Type the context's name (%s): ", question, p.context))
	if err != nil {
		return err
	}
	if typed != p.context {
		return term.ErrDeclined
	}
	return nil
}
