package live_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/live"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

const namespace = "digits"

// record is the ConfigMap of a run.
func record(t *testing.T, r run.Record) *corev1.ConfigMap {
	t.Helper()
	r.APIVersion, r.Kind, r.Project, r.Namespace = run.APIVersion, run.Kind, "digits", namespace
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: run.Name(r.ID), Namespace: namespace, Labels: map[string]string{run.IDLabel: r.ID, run.ProjectLabel: "digits"}},
		Data:       map[string]string{"run.json": string(raw)},
	}
}

// pod is a pod of a rank that runs.
func pod(name, id, rank string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), Namespace: namespace, Labels: map[string]string{run.ProjectLabel: "digits", run.IDLabel: id},
			Annotations: map[string]string{run.ContainersAnnotation: "main", batchv1.JobCompletionIndexAnnotation: rank},
		},
		Spec: corev1.PodSpec{NodeName: "worker", Containers: []corev1.Container{{
			Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{model.Resource: resource.MustParse("1")}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", ContainerID: "c-" + name, RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}},
	}
}

// version records a generation whose train.py holds that text.
func version(t *testing.T, j *journal.Journal, n uint64, content string, receipts ...wire.Receipt) tree.Digest {
	t.Helper()
	index := tree.Index{{Path: "train.py", Kind: tree.File, Size: int64(len(content)), Sum: sha256.Sum256([]byte(content))}}
	for i := range receipts {
		receipts[i].Generation, receipts[i].TreeDigest, receipts[i].ArgvDigest = n, index.Digest(), tree.Digest{1}
	}
	g := journal.Generation{Generation: n, TreeDigest: index.Digest(), Files: 1, Ranks: 1, Time: time.Unix(int64(n), 0).UTC(), Receipts: receipts}
	if err := j.Record(g, index, func(tree.Entry) ([]byte, error) { return []byte(content), nil }); err != nil {
		t.Fatal(err)
	}
	return index.Digest()
}

// until runs a watcher until its state is as wanted.
func until(t *testing.T, w *live.Watcher, ok func(live.State) bool) live.State {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := errors.New("as wanted")
	var last live.State
	err := w.Run(ctx, func(s live.State) error {
		last = s
		if ok(s) {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		raw, _ := json.MarshalIndent(last, "", " ")
		t.Fatalf("%v: %s", err, raw)
	}
	return last
}

func TestAStateJoinsRunsRanksGPUsAndGenerations(t *testing.T) {
	j := journal.Open(t.TempDir())
	version(t, j, 1, "a = 1\n")
	digest := version(t, j, 2, "a = 2\n", wire.Receipt{PodUID: "train-dev", Container: "main"})
	began := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	worked := pod("train-dev", "", "0")
	delete(worked.Labels, run.IDLabel)
	worked.Annotations[inject.ContainersAnnotation] = "main"
	worked.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "train", Controller: new(bool)}}
	*worked.OwnerReferences[0].Controller = true
	broken := pod("run-1", "k7x2mq", "1")
	broken.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}
	broken.Status.Phase = corev1.PodPending
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "train-k7x2mq", Namespace: namespace, Labels: map[string]string{run.IDLabel: "k7x2mq"}}}
	job.Status.StartTime = &metav1.Time{Time: began}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker"}, Status: corev1.NodeStatus{
		Capacity:    corev1.ResourceList{model.Resource: resource.MustParse("2")},
		Allocatable: corev1.ResourceList{model.Resource: resource.MustParse("1")},
		Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}}
	client := fake.NewClientset(
		record(t, run.Record{
			ID: "k7x2mq", Stage: "train", Job: "train-k7x2mq", Ranks: 2, CodeDigest: digest.String(), Started: began, Said: began.Add(30 * time.Second),
			Metrics: []run.Metric{
				{Name: "accuracy", Last: 0.8, Best: 0.8, Count: 2, History: []run.Point{{Step: 0, Value: 0.7}, {Step: 1, Value: 0.8}}},
				{Name: "loss", Last: 0.4, Best: 0.4, Count: 2, History: []run.Point{{Step: 0, Value: 0.9}, {Step: 1, Value: 0.4}}},
			},
		}),
		record(t, run.Record{ID: "old000", Stage: "train", Phase: "Complete", Ranks: 1}),
		job, pod("run-0", "k7x2mq", "0"), broken, worked, node,
	)
	w := live.New(live.Sources{
		Client: client, Store: &run.Store{Client: client, Namespace: namespace}, Project: "digits", Environment: "sandbox", Context: "kind-ai", Namespace: namespace, Journal: j,
		GPUs: func(context.Context) ([]model.Report, error) {
			return []model.Report{{
				State:   model.State{Node: "worker", Devices: []model.Device{{Index: 0, UUID: "GPU-0"}, {Index: 1, UUID: "GPU-1", Fault: model.Fault{XID: 79, Lost: true}}}},
				Holders: []model.Holder{{Namespace: namespace, Pod: "run-0", Container: "main", Devices: []string{"GPU-1"}}},
			}}, nil
		},
		Elsewhere: []live.Elsewhere{{
			Environment: "production",
			Releases:    func(context.Context) ([]live.Releases, error) { return nil, errors.New("no such host") },
			Drift:       func(context.Context) (*exporter.Status, error) { return &exporter.Status{Model: "sha256:ab"}, nil },
		}},
	})
	got := until(t, w, func(s live.State) bool {
		return len(s.Generations) == 2 && len(s.Nodes) == 1 && s.Nodes[0].Allocatable == 1 && len(s.Nodes[0].GPUs) == 2 && len(s.Unread) == 1 && len(s.Drift) == 1 && len(s.Runs) == 3 && len(s.Runs[1].Ranks) == 2
	})
	var names []string
	for _, r := range got.Runs {
		names = append(names, fmt.Sprintf("%s dev=%v done=%v gen=%d ranks=%d/%d", r.ID, r.Dev, r.Done, r.Generation, len(r.Ranks), r.Wanted))
	}
	want := []string{"Job/train dev=true done=false gen=2 ranks=1/1", "k7x2mq dev=false done=false gen=2 ranks=2/2", "old000 dev=false done=true gen=0 ranks=0/1"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	train := got.Runs[1]
	if train.Metric != "loss" || train.Step != 2 || train.Metrics[0].Name != "loss" || len(train.Metrics[0].Values) != 2 {
		t.Errorf("%+v", train)
	}
	if r := train.Ranks[0]; r.Phase != "Running" || r.GPUs != 1 || !r.Faulty || len(r.Devices) != 1 || r.Devices[0] != 1 || r.Restarts != 2 || r.Node != "worker" {
		t.Errorf("%+v", r)
	}
	if r := train.Ranks[1]; r.Phase != "Pending" || !strings.Contains(r.Trouble, "ImagePullBackOff") {
		t.Errorf("%+v", r)
	}
	if r := got.Runs[0].Ranks[0]; r.Generation != 2 {
		t.Errorf("the receipt says generation 2: %+v", r)
	}
	if n := got.Nodes[0]; n.Allocatable != 1 || n.Capacity != 2 || n.GPUs[1].Healthy || !strings.Contains(n.GPUs[1].Fault, "XID 79") || n.GPUs[1].Holders[0].Run != "k7x2mq" {
		t.Errorf("%+v", n)
	}
	if u := got.Unread[0]; u.Part != "releases of production" || u.Reason != "no such host" {
		t.Errorf("%+v", u)
	}
	newest := got.Generations[0]
	if newest.Number != 2 || newest.Proved != 1 || len(newest.Changes) != 1 || newest.Changes[0] != (live.Change{Path: "train.py", What: "changed"}) || !got.Generations[1].First {
		t.Errorf("%+v", got.Generations)
	}
	for _, a := range client.Actions() {
		if verb := a.GetVerb(); verb != "get" && verb != "list" && verb != "watch" {
			t.Errorf("it does not only look: %s %s", verb, a.GetResource().Resource)
		}
	}
}

func TestADiffShowsTheTextThatChanged(t *testing.T) {
	j := journal.Open(t.TempDir())
	version(t, j, 1, "a = 1\nb = 1\n")
	version(t, j, 2, "a = 2\nb = 1\n")
	version(t, j, 3, "a = 2\x00")
	w := live.New(live.Sources{Journal: j})
	for id, want := range map[string]live.FileDiff{
		"2-7d0": {Change: live.Change{Path: "train.py", What: "changed"}, Text: "@@ -1,2 +1,2 @@\n-a = 1\n+a = 2\n b = 1\n"},
		"3-bb8": {Change: live.Change{Path: "train.py", What: "changed"}, Note: "6 bytes that are no text"},
	} {
		d, err := w.Diff(id)
		if err != nil || len(d.Files) != 1 {
			t.Fatalf("%s: %+v, %v", id, d, err)
		}
		d.Files[0].Text = strings.TrimPrefix(d.Files[0].Text, "--- \n+++ \n")
		if diff := cmp.Diff(want, d.Files[0]); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	if d, err := w.Diff("1-3e8"); err != nil || len(d.Files) != 0 {
		t.Errorf("the first: %+v, %v", d, err)
	}
	var none *live.GenerationError
	if _, err := w.Diff("9-9"); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
}
