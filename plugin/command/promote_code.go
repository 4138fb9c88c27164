package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/evidence"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/pull"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// foundCode is the code that goes to production, and what proves it.
type foundCode struct {
	code       carrier.Code
	generation journal.Generation // without a number: none, but for images of a run that proves it
	evidence   *release.Evidence
	sandbox    *Factory // whose flags are those of dev
	dir        string
}

// copy returns the same code with evidence of its own: what carries it is
// another thing in every cluster.
func (c *foundCode) copy() *foundCode {
	own, proof := *c, *c.evidence
	own.evidence = &proof
	return &own
}

// findCode scans the folder and finds the generation that proves it, or else
// the run.
func (p *production) findCode(ctx context.Context, f *Factory, o *PromoteOptions) (*foundCode, error) {
	folder := p.project.Code[0]
	index, err := scan(ctx, f, folder)
	if err != nil {
		return nil, err
	}
	found := &foundCode{sandbox: forSandbox(f), dir: o.Dir}
	j, context, err := sandboxJournal(found.sandbox, o.Dir)
	if err == nil {
		found.generation, err = evidence.Find(j, index, context)
	}
	var unproven *evidence.UnprovenError
	var none *project.UnknownEnvironmentError
	switch {
	case err == nil:
		found.code = carrier.Code{Index: index, Content: j.Content}
		found.evidence = evidence.Record(found.generation, context)
		f.Streams.Talk("code %s ran as generation %d in %s: %d of %d ranks proved it, %s", index.Digest().Short(), found.generation.Generation, context,
			len(found.generation.Receipts), found.generation.Ranks, found.generation.Time.Local().Format(time.DateTime))
		if n := evidence.RunsOn(found.generation); n > 0 {
			f.Streams.Talk("%d of them were not restarted in it, as reload.policies say", n)
		}
	case !o.Unproven:
		if (errors.As(err, &unproven) || errors.As(err, &none)) && p.provenByRun(ctx, f, found, index) {
			return found, nil
		}
		return nil, err
	case errors.As(err, &unproven), errors.As(err, &none):
		found.code = carrier.Folder(folder.Path, index)
		found.evidence = &release.Evidence{Unproven: err.Error()}
		f.Streams.Talk("UNPROVEN: %v; --unproven promotes the code of %s all the same, and the release says so", err, folder.Path)
	default:
		return nil, err
	}
	return found, nil
}

// forSandbox returns the factory that dev had without flags: --context and -n
// of a promotion mean the other cluster.
func forSandbox(f *Factory) *Factory {
	own := *f
	own.Flags = &genericclioptions.ConfigFlags{KubeConfig: f.Flags.KubeConfig}
	return &own
}

// sandboxJournal opens the journal of a bundle in its sandbox environment.
func sandboxJournal(f *Factory, dir string) (*journal.Journal, string, error) {
	r, err := render(f, dir, project.Sandbox)
	if err != nil {
		return nil, "", err
	}
	context := sandboxContext(f, r.env)
	j, err := openJournal(f, r, context)
	return j, context, err
}

// carry puts the code into the bundle, the first of the environment's ways
// that the cluster can take.
func (p *production) carry(ctx context.Context, f *Factory, found *foundCode) (*carrier.Result, error) {
	resolver, err := p.resolver(ctx, f)
	if err != nil {
		return nil, err
	}
	var writes carrier.Writes
	if found.generation.Generation > 0 {
		writes = func(ctx context.Context) ([]string, error) { return written(ctx, found) }
	}
	var cluster carrier.Cluster = mounts{p}
	if p.detached {
		cluster = echo{}
	}
	var carriers []carrier.Carrier
	for _, format := range p.env.CodeFormats {
		switch format {
		case project.FormatLayer:
			carriers = append(carriers, &carrier.Layers{Resolver: resolver, Registry: p.env.Registry, Project: p.project.Name, Environment: p.env.Name})
		case project.FormatImageVolume:
			carriers = append(carriers, &carrier.ImageVolumes{
				Resolver: resolver, Cluster: cluster, Writes: writes,
				Registry: p.env.Registry, Project: p.project.Name, Environment: p.env.Name,
			})
		case project.FormatConfigMap:
			carriers = append(carriers, &carrier.ConfigMaps{Resolver: resolver, Project: p.project.Name, Writes: writes})
		}
	}
	chosen, before, err := carrier.Choose(ctx, carriers, found.code, p.targets)
	if err != nil {
		return nil, err
	}
	for _, i := range before {
		p.progress.Note("not as %s: %v", i.Format, i.Err)
	}
	p.progress.Note("the code goes as %s", chosen.Format())
	result, err := chosen.Carry(ctx, found.code, p.targets, p.progress)
	if err != nil {
		return nil, err
	}
	hides := tree.ParsePatterns(p.project.Code[0].Hides)
	if err := resolver.Hidden(ctx, result, found.code.Index, hides, p.progress); err != nil {
		return nil, err
	}
	found.evidence.Carrier = release.Carrier{Format: result.Format, Objects: result.Code}
	return result, nil
}

func (p *production) resolver(ctx context.Context, f *Factory) (*carrier.Resolver, error) {
	cache, err := f.Cache()
	if err != nil {
		return nil, err
	}
	arches, err := p.architectures(ctx)
	if err != nil {
		return nil, err
	}
	resolver := &carrier.Resolver{Cache: cache, Arches: arches}
	if e, err := engine.Detect(ctx); err == nil {
		resolver.Engine = e
	}
	return resolver, nil
}

// compare compares the runtime images with those that the code ran in.
func (p *production) compare(f *Factory, o *PromoteOptions, found *foundCode, carried *carrier.Result) error {
	var images []evidence.Image
	for _, r := range carried.Runtimes {
		image := evidence.Image{Target: r.Target.String(), Container: r.Target.Container.Name(), Ref: r.Image}
		if r.Base != nil {
			image.Digests, image.Versions = r.Base.Digests, r.Base.Versions
		} else if _, digest, ok := strings.Cut(r.Image, "@"); ok {
			image.Digests = []string{digest}
		}
		images = append(images, image)
	}
	runtimes, err := evidence.Compare(found.generation, images)
	found.evidence.Runtimes = runtimes
	switch {
	case err == nil || found.evidence.Unproven != "":
		return nil
	case !o.OtherRuntime:
		return err
	}
	f.Streams.Talk("OTHER RUNTIME: %v; --other-runtime promotes it all the same, and the release says so", err)
	return nil
}

// written asks the sandbox's ranks what their programs wrote beside the code
// since they were started.
func written(ctx context.Context, found *foundCode) ([]string, error) {
	t, err := openTarget(ctx, found.sandbox, found.dir, project.Sandbox, &allowance{reads: true})
	if err != nil {
		return nil, err
	}
	ranks, err := t.ranks(ctx)
	if err != nil {
		return nil, err
	}
	since := map[string]time.Time{} // by pod and container; a pod that came later: ever
	for _, r := range found.generation.Receipts {
		since[r.PodUID+"/"+r.Container] = r.Running
	}
	paths := map[string]bool{}
	for _, rank := range ranks {
		stream, err := t.outputs(ctx, rank)
		if err != nil {
			return nil, err
		}
		outputs, err := pull.List(stream)
		if err = errors.Join(err, stream.Close()); err != nil {
			return nil, fmt.Errorf("ask %s: %w", rankName(rank), err)
		}
		for _, o := range outputs {
			if !o.Time.Before(since[rank.ID]) {
				paths[o.Path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(paths)), nil
}

// mounts asks the target whether it mounts images as volumes.
type mounts struct{ *production }

// DryRunCreate admits an object in its namespace, or in the default one while
// that is not there yet.
func (m mounts) DryRunCreate(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource, namespaced, err := m.Cluster.Resource(obj.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	create := func(namespace string) (*unstructured.Unstructured, error) {
		obj.SetNamespace(namespace)
		options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		if !namespaced {
			return m.Cluster.Dynamic.Resource(resource).Create(ctx, obj, options)
		}
		return m.Cluster.Dynamic.Resource(resource).Namespace(namespace).Create(ctx, obj, options)
	}
	answer, err := create(obj.GetNamespace())
	if apierrors.IsNotFound(err) && namespaced {
		return create(metav1.NamespaceDefault)
	}
	return answer, err
}

// Nodes lists those that take pods.
func (m mounts) Nodes(ctx context.Context) ([]carrier.Node, error) {
	list, err := m.Cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var nodes []carrier.Node
	for _, n := range list.Items {
		if closed, _, _ := unstructured.NestedBool(n.Object, "spec", "unschedulable"); closed {
			continue
		}
		runtime, _, _ := unstructured.NestedString(n.Object, "status", "nodeInfo", "containerRuntimeVersion")
		nodes = append(nodes, carrier.Node{Name: n.GetName(), Runtime: runtime})
	}
	return nodes, nil
}
