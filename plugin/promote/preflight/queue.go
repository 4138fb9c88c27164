package preflight

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// queueLabel hands a workload to Kueue.
const queueLabel = "kueue.x-k8s.io/queue-name"

const kueueGroup = "kueue.x-k8s.io"

// queue is what is known of a LocalQueue.
type queue struct {
	unserved, missing, forbidden bool

	cluster        string // its ClusterQueue
	clusterMissing bool
	stopped        string // why it admits nothing; "": it does
}

// queueOf is the LocalQueue that an object names.
func queueOf(obj *unstructured.Unstructured) (apply.Ref, bool) {
	name := obj.GetLabels()[queueLabel]
	return apply.Ref{Group: kueueGroup, Kind: "LocalQueue", Namespace: obj.GetNamespace(), Name: name}, name != ""
}

func (c *Check) readQueues(v *view) []task {
	var tasks []task
	var asked []apply.Ref
	for _, obj := range c.Objects {
		ref, ok := queueOf(obj)
		if !ok || slices.Contains(asked, ref) {
			continue
		}
		asked = append(asked, ref)
		tasks = append(tasks, func(ctx context.Context) error {
			q, err := c.readQueue(ctx, v, ref)
			if err == nil {
				v.lock(func() { v.queues[ref] = q })
			}
			return err
		})
	}
	return tasks
}

func (c *Check) readQueue(ctx context.Context, v *view, ref apply.Ref) (queue, error) {
	gvr := func(kind string) (schema.GroupVersionResource, error) {
		m, err := c.Client.Mapper.RESTMapping(schema.GroupKind{Group: kueueGroup, Kind: kind})
		if err != nil {
			return schema.GroupVersionResource{}, err
		}
		return m.Resource, nil
	}
	var out queue
	local, err := gvr("LocalQueue")
	if err != nil {
		// The bundle may bring Kueue itself.
		_, defined := definedKinds(c.Objects)[schema.GroupKind{Group: kueueGroup, Kind: "LocalQueue"}]
		out.unserved = !defined
		return out, nil
	}
	live, err := c.Client.Dynamic.Resource(local).Namespace(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		for _, obj := range c.Objects {
			if apply.RefOf(obj) == ref {
				live = obj
			}
		}
		if live == nil || live.GetName() == "" {
			out.missing = true
			return out, nil
		}
	case v.refused(err, CheckQueue, "get localqueue "+ref.Name+" in namespace "+ref.Namespace):
		out.forbidden = true
		return out, nil
	case err != nil:
		return out, fmt.Errorf("read %s: %w", ref, err)
	}
	out.cluster, _, _ = unstructured.NestedString(live.Object, "spec", "clusterQueue")
	if policy, _, _ := unstructured.NestedString(live.Object, "spec", "stopPolicy"); policy == "Hold" || policy == "HoldAndDrain" {
		out.stopped = "its stopPolicy is " + policy
		return out, nil
	}
	cluster, err := gvr("ClusterQueue")
	if err != nil {
		return out, nil //nolint:nilerror // a cluster that serves one and not the other is beyond us
	}
	head, err := c.Client.Dynamic.Resource(cluster).Get(ctx, out.cluster, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		out.clusterMissing = !c.brings("ClusterQueue", "", out.cluster)
	case v.refused(err, CheckQueue, "get clusterqueue "+out.cluster):
	case err != nil:
		return out, fmt.Errorf("read ClusterQueue %s: %w", out.cluster, err)
	default:
		out.stopped = inactive(head)
	}
	return out, nil
}

// inactive says why a ClusterQueue admits nothing: its condition Active.
func inactive(cluster *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(cluster.Object, "status", "conditions")
	for _, item := range conditions {
		m, _ := item.(map[string]any)
		if m["type"] == "Active" && m["status"] != "True" {
			return fmt.Sprintf("its ClusterQueue %s is not active: %v %v", cluster.GetName(), m["reason"], m["message"])
		}
	}
	return ""
}

// queues says which workloads wait in queues that never let them go.
func (c *Check) queues(v *view) Report {
	report := v.blinded(CheckQueue)
	for _, obj := range c.Objects {
		ref, ok := queueOf(obj)
		if !ok {
			continue
		}
		q := v.queues[ref]
		switch {
		case q.forbidden:
		case q.unserved:
			o, _ := operatorOf(ref.GroupKind())
			report.add(CheckQueue, Error, obj, "install Kueue: "+o.url+", or remove the label "+queueLabel, "it names queue %s, and the cluster has no Kueue", ref.Name)
		case q.missing:
			report.add(CheckQueue, Error, obj, "kubectl get localqueues -n "+ref.Namespace, "LocalQueue %s does not exist in namespace %s", ref.Name, ref.Namespace)
		case q.clusterMissing:
			report.add(CheckQueue, Error, obj, "kubectl get clusterqueues", "LocalQueue %s leads to ClusterQueue %s, which does not exist", ref.Name, q.cluster)
		case q.stopped != "":
			report.add(CheckQueue, Error, obj, "kubectl describe clusterqueue "+q.cluster, "LocalQueue %s admits nothing: %s", ref.Name, q.stopped)
		}
	}
	return report
}
