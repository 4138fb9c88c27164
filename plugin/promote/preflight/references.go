package preflight

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// reference is an object in the pods' namespace that they need to start.
type reference struct {
	to  apply.Ref
	why string // how it is used
	// level is how much it matters: without a pull secret the kubelet tries.
	level Level
}

// references lists what a pod refers to by name; optional ones are left out.
func (p *podSet) references() []reference {
	var out []reference
	need := func(level Level, kind, name, format string, args ...any) {
		if name == "" {
			return
		}
		r := reference{p.refIn(kind, name), fmt.Sprintf(format, args...), level}
		if !slices.ContainsFunc(out, func(o reference) bool { return o.to == r.to }) {
			out = append(out, r)
		}
	}
	must := func(optional *bool) bool { return optional == nil || !*optional }
	if name := p.spec.ServiceAccountName; name != "default" { // comes with the namespace
		need(Error, "ServiceAccount", name, "its pods run as it")
	}
	for _, s := range p.spec.ImagePullSecrets {
		need(Warning, "Secret", s.Name, "its images are pulled with it")
	}
	for _, c := range p.containers() {
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil && must(e.ConfigMapRef.Optional) {
				need(Error, "ConfigMap", e.ConfigMapRef.Name, "container %s takes its environment from it", c.Name)
			}
			if e.SecretRef != nil && must(e.SecretRef.Optional) {
				need(Error, "Secret", e.SecretRef.Name, "container %s takes its environment from it", c.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil && must(r.Optional) {
				need(Error, "ConfigMap", r.Name, "container %s takes %s from it", c.Name, e.Name)
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil && must(r.Optional) {
				need(Error, "Secret", r.Name, "container %s takes %s from it", c.Name, e.Name)
			}
		}
	}
	for _, volume := range p.spec.Volumes {
		if s := volume.ConfigMap; s != nil && must(s.Optional) {
			need(Error, "ConfigMap", s.Name, "volume %s", volume.Name)
		}
		if s := volume.Secret; s != nil && must(s.Optional) {
			need(Error, "Secret", s.SecretName, "volume %s", volume.Name)
		}
		if s := volume.PersistentVolumeClaim; s != nil {
			need(Error, "PersistentVolumeClaim", s.ClaimName, "volume %s", volume.Name)
		}
		if volume.Projected == nil {
			continue
		}
		for _, s := range volume.Projected.Sources {
			if s.ConfigMap != nil && must(s.ConfigMap.Optional) {
				need(Error, "ConfigMap", s.ConfigMap.Name, "volume %s", volume.Name)
			}
			if s.Secret != nil && must(s.Secret.Optional) {
				need(Error, "Secret", s.Secret.Name, "volume %s", volume.Name)
			}
		}
	}
	return out
}

// makers are kinds that make a Secret or ConfigMap by a controller: the field
// that names it, or the object's own name.
var makers = map[schema.GroupKind]struct {
	kinds []string
	field []string
}{
	{Group: "cert-manager.io", Kind: "Certificate"}:        {[]string{"Secret"}, []string{"spec", "secretName"}},
	{Group: "external-secrets.io", Kind: "ExternalSecret"}: {[]string{"Secret"}, []string{"spec", "target", "name"}},
	{Group: "bitnami.com", Kind: "SealedSecret"}:           {[]string{"Secret"}, nil},
	{Group: "kafka.strimzi.io", Kind: "KafkaUser"}:         {[]string{"Secret"}, nil},
	{Group: "objectbucket.io", Kind: "ObjectBucketClaim"}:  {[]string{"Secret", "ConfigMap"}, nil},
}

// comes says whether an object is in the bundle, or is made by one that is.
func (c *Check) comes(ref apply.Ref) bool {
	for _, obj := range c.Objects {
		if apply.RefOf(obj) == ref {
			return true
		}
		m, ok := makers[obj.GroupVersionKind().GroupKind()]
		if !ok || obj.GetNamespace() != ref.Namespace || !slices.Contains(m.kinds, ref.Kind) {
			continue
		}
		name := obj.GetName()
		if m.field != nil {
			if said, _, _ := unstructured.NestedString(obj.Object, m.field...); said != "" {
				name = said
			}
		}
		if name == ref.Name {
			return true
		}
	}
	return false
}

var referenced = map[string]string{
	"ServiceAccount": "serviceaccounts", "Secret": "secrets", "ConfigMap": "configmaps", "PersistentVolumeClaim": "persistentvolumeclaims",
}

// few is up to how many objects of a kind are asked for one by one. Chosen: a
// LIST of a large namespace costs the server more than some GETs.
const few = 2

// readReferences reads the metadata of what pods refer to, never the values
// of a Secret, and the classes that the bundle names.
func (c *Check) readReferences(v *view) []task {
	wanted := map[string]map[string][]apply.Ref{} // namespace, kind
	priorities, runtimes := map[string]bool{}, map[string]bool{}
	for i := range v.pods {
		p := &v.pods[i]
		for _, r := range p.references() {
			ns, kind := r.to.Namespace, r.to.Kind
			if c.comes(r.to) || c.Known[r.to] || v.gone(ns) || ns == "" || slices.Contains(wanted[ns][kind], r.to) {
				continue
			}
			if wanted[ns] == nil {
				wanted[ns] = map[string][]apply.Ref{}
			}
			wanted[ns][kind] = append(wanted[ns][kind], r.to)
		}
		if name := p.spec.PriorityClassName; name != "" && !c.brings("PriorityClass", "", name) {
			priorities[name] = true
		}
		if name := p.spec.RuntimeClassName; name != nil && *name != "" && !c.brings("RuntimeClass", "", *name) {
			runtimes[*name] = true
		}
	}
	var tasks []task
	for ns, kinds := range wanted {
		for kind, refs := range kinds {
			tasks = append(tasks, func(ctx context.Context) error { return c.exist(ctx, v, ns, kind, refs) })
		}
	}
	for name := range priorities {
		tasks = append(tasks, func(ctx context.Context) error {
			class, err := get[schedulingv1.PriorityClass](ctx, c, schedulingv1.SchemeGroupVersion.WithResource("priorityclasses"), name)
			if err == nil {
				v.lock(func() { v.priorityClasses[name] = class })
			}
			return v.unless(err, CheckReferences, "get priorityclass "+name)
		})
	}
	for name := range runtimes {
		tasks = append(tasks, func(ctx context.Context) error {
			class, err := get[nodev1.RuntimeClass](ctx, c, nodev1.SchemeGroupVersion.WithResource("runtimeclasses"), name)
			if err == nil {
				v.lock(func() { v.runtimeClasses[name] = class })
			}
			return v.unless(err, CheckReferences, "get runtimeclass "+name)
		})
	}
	if len(c.claims(v)) > 0 {
		tasks = append(tasks, func(ctx context.Context) error {
			classes, err := list[storagev1.StorageClass](ctx, c, storagev1.SchemeGroupVersion.WithResource("storageclasses"), "")
			if err == nil {
				v.lock(func() { v.storageClasses = classes; v.storageKnown = true })
			}
			return v.unless(err, CheckReferences, "list storageclasses")
		})
	}
	return tasks
}

// exist finds out which objects of a kind are there.
func (c *Check) exist(ctx context.Context, v *view, ns, kind string, refs []apply.Ref) error {
	client := c.Client.Metadata.Resource(corev1.SchemeGroupVersion.WithResource(referenced[kind])).Namespace(ns)
	if len(refs) > few {
		list, err := client.List(ctx, metav1.ListOptions{})
		if err == nil {
			there := map[string]bool{}
			for i := range list.Items {
				there[list.Items[i].Name] = true
			}
			v.lock(func() {
				for _, ref := range refs {
					v.there[ref] = absent
					if there[ref.Name] {
						v.there[ref] = present
					}
				}
			})
			return nil
		}
		if !apierrors.IsForbidden(err) {
			return fmt.Errorf("list %s: %w", referenced[kind], err)
		}
	}
	for _, ref := range refs {
		_, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			v.lock(func() { v.there[ref] = absent })
		case v.refused(err, CheckReferences, fmt.Sprintf("get %s in namespace %s", referenced[kind], ns)):
		case err != nil:
			return fmt.Errorf("read %s: %w", ref, err)
		default:
			v.lock(func() { v.there[ref] = present })
		}
	}
	return nil
}

// references says what pods and claims name and nobody has.
func (c *Check) references(v *view) Report {
	report := v.blinded(CheckReferences)
	for i := range v.pods {
		p := &v.pods[i]
		for _, r := range p.references() {
			if !c.comes(r.to) && !c.Known[r.to] && (v.there[r.to] == absent || v.gone(r.to.Namespace)) {
				report.add(CheckReferences, r.level, p.object, fmt.Sprintf("make %s in namespace %s, or put it into the bundle", r.to.Short(), r.to.Namespace),
					"%s is neither in the bundle nor in the cluster: %s", r.to.Short(), r.why)
			}
		}
		if name := p.spec.PriorityClassName; name != "" {
			if class, asked := v.priorityClasses[name]; asked && class == nil {
				report.add(CheckReferences, Error, p.object, "kubectl get priorityclasses", "PriorityClass %s does not exist", name)
			}
		}
		if name := p.spec.RuntimeClassName; name != nil {
			if class, asked := v.runtimeClasses[*name]; asked && class == nil {
				report.add(CheckReferences, Error, p.object, "kubectl get runtimeclasses", "RuntimeClass %s does not exist", *name)
			}
		}
	}
	for _, claim := range c.claims(v) {
		report = append(report, c.storage(v, claim)...)
	}
	return report
}
