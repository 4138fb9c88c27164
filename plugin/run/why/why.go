// Package why says why a run or a pod does not run, or did not end well: who
// holds what it wants, what would free it, and what to do. It works on what was
// read before and asks no cluster.
package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
)

// Explanation is the answer. Its JSON form is stable.
type Explanation struct {
	Subject string   `json:"subject"` // run/k7x2mq or Pod/name
	Phase   string   `json:"phase"`
	Causes  []Cause  `json:"causes"` // the first matters most
	Holders []Holder `json:"holders,omitempty"`
	Log     []string `json:"log,omitempty"` // the end of what the failed container said

	failed []Failed
}

// Kinds of causes. They are stable: scripts branch on them.
const (
	KindRoom      = "room"      // nodes have it, others hold it
	KindNever     = "never"     // no node has so much
	KindNode      = "node"      // no node takes such pods: selector, affinity, taint, cordon
	KindResource  = "resource"  // no node has a resource of that name
	KindQuota     = "quota"     // of the namespace
	KindLimits    = "limits"    // a LimitRange
	KindSecurity  = "security"  // Pod Security, or a user that a container may not be
	KindPolicy    = "policy"    // an admission policy or webhook refuses
	KindWebhook   = "webhook"   // one that is asked does not answer
	KindDenied    = "denied"    // the server refuses for another reason
	KindQueue     = "queue"     // Kueue's
	KindOrder     = "order"     // another run is being placed
	KindImage     = "image"     // is not there
	KindRegistry  = "registry"  // does not answer
	KindAccess    = "access"    // the registry wants credentials
	KindReference = "reference" // a ConfigMap, Secret or another object is not there
	KindVolume    = "volume"    // a claim that is not bound, a mount that fails
	KindContainer = "container" // cannot be made
	KindCommand   = "command"   // cannot be started
	KindArgument  = "argument"  // the program refuses one
	KindImport    = "import"    // a Python module is missing
	KindFiles     = "files"     // one is missing, or may not be opened
	KindPort      = "port"      // is taken
	KindMemory    = "memory"    // of the container, or of the GPU
	KindShm       = "shm"       // shared memory
	KindDisk      = "disk"      // full
	KindEvicted   = "evicted"   // preempted, drained, under pressure
	KindDeadline  = "deadline"  // activeDeadlineSeconds
	KindProbe     = "probe"     // a liveness or startup probe killed it, or it is never ready
	KindInit      = "init"      // a container that comes before
	KindKilled    = "killed"    // by a signal
	KindCrash     = "crash"     // again and again
	KindSegfault  = "segfault"
	KindExit      = "exit"    // a code of the program's own
	KindGang      = "gang"    // a rank is missing, or cannot reach another
	KindNaN       = "nan"     // a metric is no number
	KindRefused   = "refused" // a validation
	KindGone      = "gone"
	KindNothing   = "nothing" // nothing stands in the way
)

// Cause is one reason, with what helps.
type Cause struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}

// Holder is a run, or a pod of nobody's run, that holds what is wanted.
type Holder struct {
	Name  string    `json:"name"` // run/k7x2mq or Pod/namespace/name
	Holds string    `json:"holds"`
	Since time.Time `json:"since"`
	Frees string    `json:"frees,omitempty"` // the command that frees it
}

// Run explains a run. events are those of its namespace.
func Run(r run.Record, live run.Live, seen admit.Seen, events []corev1.Event) Explanation {
	e := Explanation{Subject: "run/" + r.ID, Phase: string(r.Phase)}
	switch {
	case r.Phase == apply.Complete:
		e.add(KindNothing, "", "it ended well")
	case r.Phase == run.Lost:
		e.add(KindGone, "kubectl ai runs delete "+r.ID+", and run it again", "%s", r.Reason)
	case r.Phase == apply.Failed:
		e.ended(r, live, events)
	case live.Job == nil:
		e.add(KindGone, "", "its Job is not there yet")
	case r.Phase == apply.Queued && live.Job.Labels[run.QueueLabel] != "":
		e.add(KindQueue, "kubectl describe workloads.kueue.x-k8s.io -n "+r.Namespace, "Kueue holds it in queue %s", live.Job.Labels[run.QueueLabel])
	case r.Phase == apply.Queued:
		e.waits(live.Job, seen)
	default:
		e.pods(r, live, seen, events)
	}
	if said := reported(r); len(said) > 0 {
		if len(e.Causes) == 1 && e.Causes[0].Kind == KindNothing {
			e.Causes = nil
		}
		e.Causes = append(e.Causes, said...)
	}
	return e
}

// reported are causes in what the code itself reported: a metric that is no
// number, a validation that did not pass.
func reported(r run.Record) (out []Cause) {
	for _, m := range r.Metrics {
		if m.Last.IsNaN() {
			out = append(out, Cause{
				KindNaN, m.Name + " is NaN: " + plural(m.Count, "report") + " of it, the last one no number",
				"a lower learning rate, clipped gradients, or look at the data; its values: kubectl ai runs show " + r.ID,
			})
		}
	}
	if r.Phase != apply.Complete || r.Report == nil {
		return out
	}
	for _, refusal := range r.Report.Refusals[:min(3, len(r.Report.Refusals))] {
		out = append(out, Cause{KindRefused, "the validation refuses: " + refusal, "kubectl ai runs show " + r.ID + "; mend it and validate again"})
	}
	return out
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (e *Explanation) add(kind, next, format string, args ...any) {
	e.Causes = append(e.Causes, Cause{kind, fmt.Sprintf(format, args...), next})
}

// waits explains a suspended Job.
func (e *Explanation) waits(job *batchv1.Job, seen admit.Seen) {
	pod := capacity.Admitted(&corev1.Pod{ObjectMeta: job.Spec.Template.ObjectMeta, Spec: job.Spec.Template.Spec})
	ranks := 1
	if job.Spec.Parallelism != nil {
		ranks = int(*job.Spec.Parallelism)
	}
	for _, over := range capacity.Over(inNamespace(seen.Quotas, job.Namespace), pod, ranks) {
		e.add(KindQuota, "kubectl describe resourcequota -n "+job.Namespace+"; ask for more, or end what uses it", "%s", over)
	}
	e.room(capacity.GangOf(pod, ranks), seen)
	if len(e.Causes) > 0 {
		return
	}
	for _, d := range admit.Decide(seen) {
		if d.Job.UID == job.UID && d.Why != "" {
			e.add(KindOrder, "kubectl ai runs wait "+job.Labels[run.IDLabel], "it %s", d.Why)
			return
		}
	}
	e.add(KindNothing, "kubectl ai runs wait "+job.Labels[run.IDLabel], "it finds room now, and is let go by whoever looks next")
}

func inNamespace(all []corev1.ResourceQuota, namespace string) (out []corev1.ResourceQuota) {
	for _, q := range all {
		if q.Namespace == namespace {
			out = append(out, q)
		}
	}
	return out
}

// room explains what a gang lacks on the nodes.
func (e *Explanation) room(g capacity.Gang, seen admit.Seen) {
	placed := capacity.Left(seen.Nodes, seen.Pods).Place(g)
	if placed == g.Pods {
		return
	}
	var nodes []corev1.Node
	for i := range seen.Nodes {
		if capacity.Accepts(&seen.Nodes[i], g) {
			nodes = append(nodes, seen.Nodes[i])
		}
	}
	wants := fmt.Sprintf("%d ranks want %s each", g.Pods, capacity.Quantities(g.Requests))
	if g.Pods == 1 {
		wants = "it wants " + capacity.Quantities(g.Requests)
	}
	if len(nodes) == 0 {
		e.add(KindNode, "kubectl get nodes --show-labels; correct nodeSelector, affinity or tolerations in the overlay", "%s, and none of the %d nodes takes them: %s", wants, len(seen.Nodes), refusals(seen.Nodes, g))
		return
	}
	empty, left := capacity.Left(nodes, nil), capacity.Left(nodes, seen.Pods)
	for _, name := range capacity.Names(g.Requests) {
		if all := empty.Total(g.Requests)[name]; all.IsZero() && name != corev1.ResourcePods {
			e.add(KindResource, "name one of these in the overlay, or add nodes that have it: "+devices(nodes), "no node has the resource %s", name)
		}
	}
	if len(e.Causes) > 0 {
		return
	}
	if most := empty.Clone().Place(g); most < g.Pods {
		e.add(KindNever, "ask for less (--ranks, --gpus), or add nodes", "%s, and empty nodes would hold %d: %s", wants, most, each(empty, left, g))
		return
	}
	e.add(KindRoom, "", "%s, and room is now for %d: %s", wants, placed, each(empty, left, g))
	e.holders(g, nodes, seen)
}

// refusals says why nodes do not take the pods of a gang, each reason once.
func refusals(nodes []corev1.Node, g capacity.Gang) string {
	var parts []string
	for i := range nodes {
		because, taint := capacity.Refuses(&nodes[i], g)
		if taint != nil {
			because += " " + taint.ToString()
		}
		if !slices.Contains(parts, because) {
			parts = append(parts, because)
		}
	}
	return strings.Join(parts, "; ")
}

// each says of every resource that is short how much there is of it.
func each(empty, left *capacity.Room, g capacity.Gang) string {
	var parts []string
	all, has, free := g.All(), empty.Total(g.Requests), left.Total(g.Requests)
	for _, name := range capacity.Names(g.Requests) {
		wanted, have, now := all[name], has[name], free[name]
		most := resource.Quantity{Format: have.Format}
		for _, node := range left.Free {
			if q := node[name]; q.Cmp(most) > 0 {
				most = q
			}
		}
		one := g.Requests[name]
		if now.Cmp(wanted) < 0 || most.Cmp(one) < 0 {
			parts = append(parts, fmt.Sprintf("%s %s in all, %s free, at most %s on one node", have.String(), name, now.String(), most.String()))
		}
	}
	if len(parts) == 0 {
		return "no node has all of it at once"
	}
	return strings.Join(parts, "; ")
}

// devices names the extended resources that nodes have.
func devices(nodes []corev1.Node) string {
	var names []string
	for i := range nodes {
		for _, name := range capacity.Names(nodes[i].Status.Allocatable) {
			if capacity.Extended(string(name)) && !slices.Contains(names, string(name)) {
				names = append(names, string(name))
			}
		}
	}
	if len(names) == 0 {
		return "none has any device"
	}
	return strings.Join(names, ", ")
}

// shown is how many holders fit on a screen beside the rest.
const shown = 6

// holders lists who holds what the gang is short of, those first that would
// free enough soonest, and how many of them have to end.
func (e *Explanation) holders(g capacity.Gang, nodes []corev1.Node, seen admit.Seen) {
	type group struct {
		Holder
		pods  []int
		holds corev1.ResourceList
	}
	var groups []*group
	for i := range seen.Pods {
		pod := &seen.Pods[i]
		holds := corev1.ResourceList{}
		for name, q := range resources.PodRequests(pod, resources.PodResourcesOptions{}) {
			if _, wanted := g.Requests[name]; wanted && !q.IsZero() && decisive(g, name) {
				holds[name] = q
			}
		}
		if len(holds) == 0 || !slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == pod.Spec.NodeName }) {
			continue
		}
		name, frees := "Pod/"+pod.Namespace+"/"+pod.Name, ""
		if id := pod.Labels[run.IDLabel]; id != "" {
			name, frees = "run/"+id, "kubectl ai runs delete "+id
		}
		at := slices.IndexFunc(groups, func(o *group) bool { return o.Name == name })
		if at < 0 {
			groups, at = append(groups, &group{Holder: Holder{Name: name, Frees: frees, Since: pod.CreationTimestamp.UTC()}, holds: corev1.ResourceList{}}), len(groups)
		}
		groups[at].pods = append(groups[at].pods, i)
		capacity.Add(groups[at].holds, holds, 1)
	}
	// Who holds most frees most; of equals the one that has run the longest.
	slices.SortStableFunc(groups, func(a, b *group) int {
		for _, name := range capacity.Names(g.Requests) {
			x, y := a.holds[name], b.holds[name]
			if c := y.Cmp(x); c != 0 {
				return c
			}
		}
		return a.Since.Compare(b.Since)
	})
	gone, enough := map[int]bool{}, 0
	for n, group := range groups {
		group.Holds = capacity.Quantities(group.holds)
		if len(e.Holders) < shown {
			e.Holders = append(e.Holders, group.Holder)
		}
		for _, i := range group.pods {
			gone[i] = true
		}
		var stay []corev1.Pod
		for i := range seen.Pods {
			if !gone[i] {
				stay = append(stay, seen.Pods[i])
			}
		}
		if enough == 0 && capacity.Left(seen.Nodes, stay).Place(g) == g.Pods {
			enough = n + 1
		}
	}
	if cause := &e.Causes[len(e.Causes)-1]; enough == 1 {
		cause.Next = "it fits when " + groups[0].Name + " has ended"
	} else if enough > 1 {
		cause.Next = fmt.Sprintf("it fits when the first %d of those below have ended", enough)
	}
}

// decisive says whether a resource is what a gang is about: devices where it
// asks for any.
func decisive(g capacity.Gang, name corev1.ResourceName) bool {
	return capacity.Devices(g.Requests) == 0 || capacity.Extended(string(name))
}
