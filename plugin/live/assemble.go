package live

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Bounds of what is shown of metrics. Chosen: a curve is drawn some 400 pixels
// wide, in a terminal 12 cells.
const (
	maxPoints = 120
	maxCurves = 8
)

// state puts together what is known.
func (w *Watcher) state() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := State{
		APIVersion: APIVersion, Kind: Kind, Project: w.Project, Environment: w.Environment, Context: w.Context, Namespace: w.Namespace,
		Runs: []Run{}, Nodes: w.nodesNow(), Generations: append([]Generation{}, w.generations...),
		Releases: []Releases{}, Drift: []Drift{}, Unread: []Unread{},
	}
	pods := map[string][]*corev1.Pod{} // by what they belong to
	for _, pod := range w.pods {
		id := runOf(pod)
		pods[id] = append(pods[id], pod)
	}
	for i := range w.records {
		s.Runs = append(s.Runs, w.run(w.records[i], pods[w.records[i].ID]))
	}
	for id, list := range pods {
		if list[0].Labels[run.IDLabel] == "" && len(ranksOf(list[0])) > 0 {
			s.Runs = append(s.Runs, w.worked(id, list))
		}
	}
	slices.SortStableFunc(s.Runs, func(a, b Run) int {
		return cmp.Or(order(a)-order(b), b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	for _, e := range w.Elsewhere {
		got := w.elsewhere[e.Environment]
		s.Releases = append(s.Releases, got.releases...)
		if got.drift != nil {
			s.Drift = append(s.Drift, Drift{e.Environment, *got.drift})
		}
	}
	for _, part := range slices.Sorted(maps.Keys(w.unread)) {
		s.Unread = append(s.Unread, Unread{part, w.unread[part]})
	}
	return s
}

// order puts what dev works on first, then what goes on, then what ended.
func order(r Run) int {
	switch {
	case r.Dev:
		return 0
	case !r.Done:
		return 1
	}
	return 2
}

// run is a run as its record, its pods and its ranks' words tell.
func (w *Watcher) run(r run.Record, pods []*corev1.Pod) Run {
	out := Run{
		ID: r.ID, Stage: r.Stage, Phase: string(r.Phase), Reason: r.Reason, Done: r.Done(), Code: short(r.CodeDigest), Generation: w.numbers[r.CodeDigest],
		Parameters: r.Parameters, Created: r.Created, Started: r.Started, Finished: r.Finished, Wanted: r.Ranks,
	}
	w.words(&out, r)
	out.Ranks = w.ranks(pods, out.Metric)
	return out
}

// worked is a workload whose code dev keeps.
func (w *Watcher) worked(id string, pods []*corev1.Pod) Run {
	out := Run{ID: id, Dev: true, Stage: pods[0].Labels[run.StageLabel], Phase: "Running"}
	r := run.Record{}
	for _, pod := range pods {
		if at := pod.Status.StartTime; at != nil && (r.Started.IsZero() || at.Time.Before(r.Started)) {
			r.Started = at.UTC()
		}
		if at := pod.CreationTimestamp.UTC(); out.Created.IsZero() || at.Before(out.Created) {
			out.Created = at
		}
	}
	out.Started = r.Started
	w.words(&out, r)
	out.Ranks = w.ranks(pods, out.Metric)
	out.Wanted = len(out.Ranks)
	for _, rank := range out.Ranks {
		out.Generation = max(out.Generation, rank.Generation)
		if rank.Phase != "Running" {
			out.Phase = rank.Phase
			out.Reason = cmp.Or(out.Reason, rank.Trouble)
		}
	}
	return out
}

// words fills in what the ranks of a run say: by their logs, where these say
// more than the record.
func (w *Watcher) words(out *Run, r run.Record) {
	r.Metrics = slices.Clone(r.Metrics)
	if told := w.told[out.ID]; told != nil {
		for _, m := range told.Metrics {
			if have := r.Metric(m.Name); have == nil {
				r.Metrics = append(r.Metrics, m)
			} else if m.Count >= have.Count {
				*have = m
			}
		}
		if !told.Said.Before(r.Said) {
			r.Progress, r.Remaining, r.Said = told.Progress, told.Remaining, told.Said
		}
	}
	out.Progress = r.Progress
	if now := w.now(); !r.Said.IsZero() {
		if left, ok := r.Left(now); ok && left > 0 {
			at := now.Add(left).UTC().Round(time.Second)
			out.ETA = &at
		}
	}
	out.Metric = w.primary(r.Metrics)
	slices.SortStableFunc(r.Metrics, func(a, b run.Metric) int { return first(b.Name == out.Metric) - first(a.Name == out.Metric) })
	for _, m := range r.Metrics[:min(len(r.Metrics), maxCurves)] {
		out.Metrics = append(out.Metrics, curve(m))
	}
	out.Step = step(r)
}

func first(is bool) int {
	if is {
		return 1
	}
	return 0
}

// primary names the metric that a run is followed by: its loss, else the first
// of the project's, else the first that was reported.
func (w *Watcher) primary(metrics []run.Metric) string {
	has := func(ok func(name string) bool) string {
		if i := slices.IndexFunc(metrics, func(m run.Metric) bool { return ok(m.Name) }); i >= 0 {
			return metrics[i].Name
		}
		return ""
	}
	name := cmp.Or(has(func(n string) bool { return n == "loss" }), has(func(n string) bool { return strings.Contains(n, "loss") }))
	for _, m := range w.Metrics {
		name = cmp.Or(name, has(func(n string) bool { return n == m.Name }))
	}
	return cmp.Or(name, has(func(n string) bool { return !slices.Contains(counters, n) }))
}

// counters are metrics that say how far a rank is, the finest first.
var counters = []string{"step", "global_step", "iteration", "epoch"}

// step is how far a rank is: as it says, else how often it has reported.
func step(r run.Record) (n int) {
	for _, name := range counters[:3] {
		if m := r.Metric(name); m != nil && !m.Last.IsNaN() {
			return int(m.Last)
		}
	}
	for _, m := range r.Metrics {
		n = max(n, m.Count)
	}
	return n
}

func curve(m run.Metric) Curve {
	c := Curve{Name: m.Name, Goal: m.Goal, Last: m.Last, Best: m.Best, Steps: []int{}, Values: []run.Number{}}
	for i := range min(len(m.History), maxPoints) {
		p := m.History[i]
		if len(m.History) > maxPoints { // evenly, the first and the last among them
			p = m.History[i*(len(m.History)-1)/(maxPoints-1)]
		}
		c.Steps, c.Values = append(c.Steps, p.Step), append(c.Values, p.Value)
	}
	return c
}

// ranks are the ranks of pods: of several with one number the newest.
func (w *Watcher) ranks(pods []*corev1.Pod, metric string) []Rank {
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	out := []Rank{}
	for _, pod := range pods {
		for _, r := range ranksOf(pod) {
			rank := w.rank(pod, r, metric)
			same := func(o Rank) bool { return r.Index >= 0 && o.Index == r.Index && o.Container == r.Container }
			if i := slices.IndexFunc(out, same); i >= 0 {
				rank.Restarts += out[i].Restarts + 1
				out[i] = rank
			} else {
				out = append(out, rank)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Rank) int { return cmp.Or(a.Index-b.Index, cmp.Compare(a.Pod, b.Pod)) })
	return out
}

func (w *Watcher) rank(pod *corev1.Pod, r observe.Rank, metric string) Rank {
	key := r.PodUID + "/" + r.Container
	out := Rank{Index: r.Index, Pod: r.Pod, Container: r.Container, Node: pod.Spec.NodeName, Generation: w.proved[key]}
	out.Phase, out.Trouble = phase(pod, r.Container)
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == r.Container {
			out.Restarts = int(c.RestartCount)
		}
	}
	for _, c := range pod.Spec.Containers {
		if q, ok := c.Resources.Requests[model.Resource]; ok && c.Name == r.Container {
			out.GPUs = q.Value()
		}
	}
	if v := w.voices[key]; v != nil {
		out.Step = step(v.said)
		if m := v.said.Metric(metric); m != nil {
			value := m.Last
			out.Value = &value
		}
	}
	for _, report := range w.reports {
		for _, d := range report.State.Devices {
			for _, h := range holders(report, d) {
				if h.Namespace == pod.Namespace && h.Pod == r.Pod && h.Container == r.Container {
					out.Devices = append(out.Devices, d.Index)
					out.Faulty = out.Faulty || !d.Healthy()
				}
			}
		}
	}
	return out
}

// phase is how a rank stands, and what is wrong with it.
func phase(pod *corev1.Pod, container string) (phase, trouble string) {
	trouble = observe.Trouble(pod)
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; c.Name == container && t != nil {
			if t.ExitCode != 0 {
				return "Failed", strings.TrimSpace(strings.TrimPrefix(t.Reason+", exit ", "Error, ") + strconv.Itoa(int(t.ExitCode)))
			}
			return "Succeeded", ""
		}
	}
	switch {
	case pod.DeletionTimestamp != nil:
		return "Terminating", trouble
	case pod.Status.Phase == corev1.PodFailed:
		return "Failed", cmp.Or(trouble, pod.Status.Reason, pod.Status.Message)
	}
	return string(cmp.Or(pod.Status.Phase, corev1.PodPending)), trouble
}

// holders are the containers that have a GPU, or a part of it.
func holders(r model.Report, d model.Device) []model.Holder {
	out := model.HoldersOf(r.Holders, d.UUID)
	for _, m := range d.MIG {
		out = append(out, model.HoldersOf(r.Holders, m.UUID)...)
	}
	return out
}

// nodesNow are the nodes that have GPUs, by name.
func (w *Watcher) nodesNow() []Node {
	nodes := []Node{}
	runs := map[string]string{} // by pod
	for _, pod := range w.pods {
		runs[pod.Namespace+"/"+pod.Name] = runOf(pod)
	}
	known := map[string]model.Report{}
	for _, r := range w.reports {
		known[r.State.Node] = r
	}
	names := slices.Collect(maps.Keys(w.nodes))
	for name := range known { // who may not read nodes may ask a sandbox's agents
		if w.nodes[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		n := Node{Name: name, Ready: true, GPUs: []GPU{}}
		report, told := known[name]
		if node := w.nodes[name]; node != nil {
			capacity, allocatable := node.Status.Capacity[model.Resource], node.Status.Allocatable[model.Resource]
			n.Capacity, n.Allocatable = capacity.Value(), allocatable.Value()
			n.Ready = slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			})
		} else {
			n.Capacity, n.Allocatable = int64(len(report.State.Devices)), int64(len(report.State.Devices))
		}
		if n.Capacity == 0 && !told {
			continue
		}
		for _, d := range report.State.Devices {
			n.GPUs = append(n.GPUs, gpu(report, d, runs))
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func gpu(r model.Report, d model.Device, runs map[string]string) GPU {
	out := GPU{
		Index: d.Index, UUID: d.UUID, Product: d.Name, Simulated: r.State.Simulated,
		Healthy: d.Healthy(), Fault: fault.Describe(d.Fault), Lost: d.Fault.Lost,
		Utilization: d.Utilization, Memory: d.MemoryBytes, MemoryUsed: d.UsedMemoryBytes, Temperature: d.Temperature, Power: d.PowerMilliwatts / 1000,
	}
	if !d.Fault.Since.IsZero() {
		at := d.Fault.Since
		out.FaultSince = &at
	}
	for _, h := range holders(r, d) {
		out.Holders = append(out.Holders, Holder{h.Namespace, h.Pod, h.Container, runs[h.Namespace+"/"+h.Pod]})
	}
	return out
}

// short is the beginning of a digest, without its algorithm.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(len(hex), 12)]
}
