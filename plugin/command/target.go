package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/execstream"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
)

// devManager is the field manager of what dev applies.
const devManager = "kubectl-ai-dev"

// defaultSandbox is the context of `sandbox create` without --name.
const defaultSandbox = "kind-ai"

// connection is a cluster that code is worked on in.
type connection struct {
	context string
	foreign bool // the cluster is no sandbox of this machine
	images  images
	config  *rest.Config
	client  clientset.Interface
}

// connect opens the cluster of a context. One that is no sandbox is refused
// unless a allows it; its nodes pull the agent from agentImage.
func connect(ctx context.Context, f *Factory, context, agentImage string, a *allowance) (*connection, error) {
	if err := a.check(context); err != nil {
		return nil, err
	}
	c := &connection{context: context}
	if a.reads && c.reach(ctx, f) {
		return c, nil
	}
	loaded, notSandbox := openSandbox(ctx, f, context)
	c.images = loaded
	if notSandbox != nil {
		if err := a.permit(context, notSandbox); err != nil {
			return nil, err
		}
		c.foreign, c.images = true, pulledImages{context: context, agent: agentImage, payload: f.Payload}
	}
	var err error
	if c.config, err = f.RESTConfig(context); err != nil {
		var absent *cluster.NotFoundError
		if errors.As(notSandbox, &absent) {
			return nil, notSandbox // neither a cluster nor a context: it is to be made
		}
		return nil, err
	}
	if c.client, err = clientset.NewForConfig(c.config); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return c, nil
}

// reach opens the cluster for one who only looks. Whose cluster it is does not
// matter then, and the engine, which takes longer to say so than the cluster
// to answer, is asked only where nothing listens: it knows why.
func (c *connection) reach(ctx context.Context, f *Factory) bool {
	config, err := f.RESTConfig(c.context)
	if err != nil {
		return false
	}
	if sandbox := strings.HasPrefix(c.context, "kind-"); sandbox {
		server, err := url.Parse(config.Host)
		if err != nil {
			return false
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", server.Host)
		if err != nil {
			return false
		}
		_ = conn.Close()
	}
	c.config = config
	c.client, err = clientset.NewForConfig(config)
	return err == nil
}

// target is a bundle in the cluster where its code is worked on.
type target struct {
	*rendered
	*connection
	applier *apply.Client
}

// openTarget renders an environment of a bundle, mostly the sandbox, and opens
// the cluster it goes to: --context, else the project file's, else the default
// sandbox.
func openTarget(ctx context.Context, f *Factory, dir, environment string, a *allowance) (*target, error) {
	r, err := render(f, dir, environment)
	if err != nil {
		return nil, err
	}
	t := &target{rendered: r}
	if t.connection, err = connect(ctx, f, sandboxContext(f, r.env), r.project.Agent.Image, a); err != nil {
		return nil, err
	}
	if loaded, ok := t.images.(loadedImages); ok {
		loaded.unbuilt = func(ref string) error {
			return scaffold.Unbuilt(os.DirFS(r.project.Dir), dir, r.project.Name, ref)
		}
		t.images = loaded
	}
	if t.foreign {
		// A namespace there is somebody's decision: it is neither made nor marked.
		t.objects = slices.DeleteFunc(t.objects, func(obj *unstructured.Unstructured) bool { return obj.GetKind() == "Namespace" })
	}
	if t.applier, err = apply.New(t.config); err != nil {
		return nil, err
	}
	return t, t.applier.Localize(t.objects, t.namespace)
}

// openSandbox returns how images come into the sandbox that a context means.
// It returns *explain.NotASandboxError and the errors of cluster.Get.
func openSandbox(ctx context.Context, f *Factory, context string) (loadedImages, error) {
	name, ok := strings.CutPrefix(context, "kind-")
	if !ok {
		return loadedImages{}, &explain.NotASandboxError{Context: context}
	}
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return loadedImages{}, err
	}
	found, err := s.Get(ctx, name)
	if err != nil {
		return loadedImages{}, err
	}
	if found.State != cluster.Running {
		return loadedImages{}, &cluster.StoppedError{Name: name}
	}
	return loadedImages{cluster: found, engine: s.Engine, payload: f.Payload}, nil
}

// runtimes are the images of the containers that get the code, and of those
// that run the services it needs, each once.
func (t *target) runtimes() []string {
	var refs []string
	add := func(ref string) {
		if ref != "" && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	for _, target := range t.targets {
		for _, c := range target.Containers() {
			add(c.Image())
		}
	}
	for _, obj := range t.objects {
		templates, _ := workload.Templates(obj) // one that cannot be read is the server's to refuse
		for _, template := range templates {
			for _, c := range template.Containers() {
				if programimage.Services.Names(c.Image()) {
					add(c.Image())
				}
			}
		}
	}
	return refs
}

// owns tells an object that dev applied for this bundle from what others put
// into the cluster, a release of the same bundle too.
func (t *target) owns(_ apply.Ref, live metav1.Object) bool {
	return live.GetLabels()[inject.ProjectLabel] == t.project.Name &&
		slices.ContainsFunc(live.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
			return m.Manager == devManager && m.Operation == metav1.ManagedFieldsOperationApply
		})
}

// dial opens the stream to a rank's agent.
func (t *target) dial() session.Dial {
	d := &execstream.Dialer{Config: t.config, Client: t.client, Namespace: t.namespace}
	return func(ctx context.Context, r session.Rank) (io.ReadWriteCloser, error) {
		pod, container, _ := strings.Cut(r.Name, "/")
		return d.Dial(ctx, pod, container, inject.AgentPath, "connect", "--socket", inject.SocketPath(container))
	}
}

// selection says which pods are the bundle's ranks.
func (t *target) selection() observe.Selection {
	return observe.Selection{
		Namespace:  t.namespace,
		Selector:   inject.ProjectLabel + "=" + t.project.Name,
		Annotation: inject.ContainersAnnotation,
	}
}

func sessionRank(r observe.Rank) session.Rank {
	return session.Rank{ID: r.PodUID + "/" + r.Container, Name: r.Name(), Index: r.Index}
}
