package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
	"github.com/kubectl-ai/kubectl-ai/plugin/metric/trainer"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// prepared is what all runs of one command share.
type prepared struct {
	*runSet
	t        *target
	workload *unstructured.Unstructured
	code     carrier.Code
	carriers []carrier.Carrier
	spec     run.Spec
	stage    string
	who      string
	endpoint *trainer.Identity // nil: code prints what it reports
}

// prepare finds the workload and the code, and brings what a run needs beside
// them: the namespace, images, and what of the bundle gets no code.
func (o *RunOptions) prepare(ctx context.Context, f *Factory, t *target, r *runSet) (*prepared, error) {
	p := &prepared{runSet: r, t: t, stage: o.Stage, spec: run.Spec{Ranks: o.Ranks, GPUs: o.GPUs}}
	var err error
	if p.workload, err = run.Stage(t.objects, t.targets, o.Stage); err != nil {
		return nil, err
	}
	index, err := scan(ctx, f, t.project.Code[0])
	if err != nil {
		return nil, err
	}
	p.code = carrier.Folder(t.project.Code[0].Path, index)
	if p.carriers, err = t.carriers(ctx, f); err != nil {
		return nil, err
	}
	besides := t.besides()
	if !t.foreign {
		if _, err := t.images.bring(ctx, imagesOf(append(slices.Clone(besides), p.workload)), r.progress); err != nil {
			return nil, err
		}
	}
	if err := t.ensureNamespace(ctx, r.progress); err != nil {
		return nil, err
	}
	p.who = who(ctx, t.applier)
	if err := t.applyBesides(ctx, f, besides, r); err != nil {
		return nil, err
	}
	if run.HasEndpoint(t.objects) {
		p.endpoint, err = r.endpoint(ctx)
	}
	return p, err
}

// besides are the objects of the bundle that get no code and are no stage of
// their own: what the stages use.
func (t *target) besides() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, obj := range t.objects {
		getsCode := slices.ContainsFunc(t.targets, func(c workload.Target) bool { return c.Object == obj })
		_, ends := workload.JobOf(obj)
		if stage := ends && obj.GetLabels()[run.StageLabel] != ""; !getsCode && !stage {
			out = append(out, obj)
		}
	}
	return out
}

// applyBesides applies them as dev does, so that dev --cleanup finds them. What
// a release of the bundle brought there is used as it is.
func (t *target) applyBesides(ctx context.Context, f *Factory, objects []*unstructured.Unstructured, r *runSet) error {
	state, err := (&release.Store{Client: t.applier.Dynamic, Project: t.project.Name, Namespace: t.namespace}).Load(ctx)
	if err != nil {
		return err
	}
	released := state.Receipts()
	objects = slices.DeleteFunc(slices.Clone(objects), func(obj *unstructured.Unstructured) bool {
		_, is := released[apply.RefOf(obj)]
		return is
	})
	for _, obj := range objects {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[inject.ProjectLabel] = t.project.Name
		obj.SetLabels(labels)
	}
	options := apply.Options{Manager: devManager}
	if t.foreign {
		options.Owned = t.owns
	}
	plan, err := t.applier.Diff(ctx, objects, options)
	if err != nil {
		return err
	}
	// What cannot change in place is left as it is: dev asks before it does.
	_, plan = plan.Split(func(c apply.Change) bool {
		if c.Action == apply.Replace {
			f.Streams.Talk("%s changed in what cannot change while it exists and stays as it is; kubectl ai dev replaces it", c.Ref.Short())
		}
		return c.Action == apply.Replace
	})
	_, err = t.applier.Apply(ctx, plan, options, r.progress)
	return err
}

func imagesOf(objects []*unstructured.Unstructured) []string {
	var out []string
	for _, obj := range objects {
		templates, err := workload.Templates(obj)
		if err != nil {
			continue
		}
		for _, t := range templates {
			for _, c := range append(t.InitContainers(), t.Containers()...) {
				if image := c.Image(); image != "" && !slices.Contains(out, image) {
					out = append(out, image)
				}
			}
		}
	}
	return out
}

// carriers are the ways that the code may go. ConfigMaps come first, as they
// need neither a build nor a push; in a sandbox the runtime image stays as the
// bundle names it, since its nodes were given that.
func (t *target) carriers(ctx context.Context, f *Factory) ([]carrier.Carrier, error) {
	resolver := &carrier.Resolver{}
	var err error
	if resolver.Cache, err = f.Cache(); err != nil {
		return nil, err
	}
	if e, err := engine.Detect(ctx); err == nil {
		resolver.Engine = e
	}
	nodes, err := t.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	if err == nil {
		for _, n := range nodes.Items {
			if arch := n.Status.NodeInfo.Architecture; arch != "" && !slices.Contains(resolver.Arches, arch) {
				resolver.Arches = append(resolver.Arches, arch)
			}
		}
	}
	registry := t.env.Registry
	if loaded, ok := t.images.(loadedImages); ok && registry == "" {
		if e, ok := endpoint(loaded.cluster.Mark); ok {
			registry = e.Host() + "/runs"
		}
	}
	var out []carrier.Carrier
	if slices.Contains(t.env.CodeFormats, project.FormatConfigMap) {
		c := &carrier.ConfigMaps{Project: t.project.Name}
		if t.foreign {
			c.Resolver = resolver
		}
		out = append(out, c)
	}
	if len(t.env.CodeFormats) > len(out) {
		out = append(out, &carrier.Layers{Resolver: resolver, Registry: registry, Project: t.project.Name, Environment: t.env.Name})
	}
	return out, nil
}

// start makes one run: its record, its code, its Job. What cannot be made
// leaves nothing behind.
func (p *prepared) start(ctx context.Context, parameters map[string]string, matrix string) (run.Record, error) {
	r := run.Record{
		ID: run.NewID(), Matrix: matrix, Project: p.t.project.Name, Stage: p.stage, Namespace: p.t.namespace,
		Who: p.who, Context: p.t.context, CodeDigest: p.code.Digest().String(), Parameters: parameters,
	}
	spec := p.spec
	spec.Parameters = parameters
	job, targets, err := r.MakeJob(p.workload, p.t.targets, spec)
	if err != nil {
		return r, err
	}
	tellContracts(p.t.project, targets)
	if p.endpoint != nil {
		r.ReportTo(targets)
	}
	chosen, _, err := carrier.Choose(ctx, p.carriers, p.code, targets)
	if err != nil {
		return r, err
	}
	carried, err := chosen.Carry(ctx, p.code, targets, p.progress)
	if err != nil {
		return r, err
	}
	if _, err := carried.Push(ctx, p.progress); err != nil {
		return r, err
	}
	r.Carrier = carried.Format
	if r.Requests, err = requests(job); err != nil {
		return r, err
	}
	owner, err := p.store.Create(ctx, &r)
	if err != nil {
		return r, err
	}
	if err := p.make(ctx, &r, owner, carried, job); err != nil {
		return r, errors.Join(err, p.store.Delete(context.WithoutCancel(ctx), r.ID))
	}
	return r, nil
}

func (p *prepared) make(ctx context.Context, r *run.Record, owner metav1.OwnerReference, carried *carrier.Result, job *unstructured.Unstructured) error {
	for _, obj := range carried.Objects {
		var code corev1.ConfigMap
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &code); err != nil {
			return fmt.Errorf("write the code: %w", err)
		}
		code.Namespace, code.OwnerReferences = r.Namespace, []metav1.OwnerReference{owner}
		_, err := p.store.Client.CoreV1().ConfigMaps(r.Namespace).Create(ctx, &code, metav1.CreateOptions{FieldManager: devManager})
		if apierrors.IsAlreadyExists(err) { // its name is what it holds
			err = p.store.Share(ctx, owner, code.Name)
		}
		if err != nil {
			return fmt.Errorf("write the code: %w", err)
		}
	}
	if r.Endpoint {
		if err := p.store.Admit(ctx, r, owner, p.endpoint); err != nil {
			return err
		}
	}
	run.Own(job, owner)
	_, err := p.t.applier.Dynamic.Resource(batchv1.SchemeGroupVersion.WithResource("jobs")).Namespace(r.Namespace).
		Create(ctx, job, metav1.CreateOptions{FieldManager: devManager, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		return fmt.Errorf("make Job/%s: %w", r.Job, err)
	}
	return nil
}

// requests are those of one rank of a Job.
func requests(obj *unstructured.Unstructured) (map[string]string, error) {
	var job batchv1.Job
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &job); err != nil {
		return nil, fmt.Errorf("read %s: %w", workload.Name(obj), err)
	}
	g := capacity.GangOf(capacity.Admitted(&corev1.Pod{Spec: job.Spec.Template.Spec}), 1)
	out := map[string]string{}
	for _, name := range capacity.Names(g.Requests) {
		if q := g.Requests[name]; name != corev1.ResourcePods {
			out[string(name)] = q.String()
		}
	}
	return out, nil
}
