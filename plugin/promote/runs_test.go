package promote

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// runs is one of each kind that ends by itself, its image and a field that may
// change written so that a test can replace them.
var runs = map[string]string{
	"JobSet": `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: NAME, namespace: ns}, spec: {suspend: false, replicatedJobs: [
		{name: workers, replicas: 2, template: {spec: {parallelism: 16, template: {spec: {containers: [{name: c, image: one}]}}}}}]}}`,
	"TrainJob": `{apiVersion: trainer.kubeflow.org/v1alpha1, kind: TrainJob, metadata: {name: NAME, namespace: ns}, spec: {suspend: false, runtimeRef: {name: torch}, trainer: {image: one}}}`,
	"PyTorchJob": `{apiVersion: kubeflow.org/v1, kind: PyTorchJob, metadata: {name: NAME, namespace: ns}, spec: {runPolicy: {suspend: false}, pytorchReplicaSpecs: {
		Worker: {replicas: 100, template: {spec: {containers: [{name: pytorch, image: one}]}}}}}}`,
	"RayJob": `{apiVersion: ray.io/v1, kind: RayJob, metadata: {name: NAME, namespace: ns}, spec: {suspend: false, entrypoint: python x.py, rayClusterSpec: {headGroupSpec: {template: {spec: {containers: [{name: h, image: one}]}}}}}}`,
	"Volcano": `{apiVersion: batch.volcano.sh/v1alpha1, kind: Job, metadata: {name: NAME, namespace: ns}, spec: {ttlSecondsAfterFinished: 0, tasks: [
		{name: worker, replicas: 8, template: {spec: {containers: [{name: c, image: one}]}}}]}}`,
}

func TestRunsOfAllKindsAreNamedByWhatTheyDo(t *testing.T) {
	mutable := strings.NewReplacer("suspend: false", "suspend: true", "ttlSecondsAfterFinished: 0", "ttlSecondsAfterFinished: 9")
	for kind, text := range runs {
		t.Run(kind, func(t *testing.T) {
			text = strings.Replace(text, "NAME", "train", 1)
			name := func(text string) string { return named(t, &release.State{}, object(t, text))[0] }
			first := name(text)
			if !regexp.MustCompile(`^train-[0-9a-f]{8}$`).MatchString(first) {
				t.Fatalf("name %q", first)
			}
			if held := mutable.Replace(text); held == text || name(held) != first {
				t.Errorf("what may change in place made %s of %s", name(held), first)
			}
			if other := name(strings.Replace(text, "one", "two", 1)); other == first {
				t.Error("another image is the same run")
			}
		})
	}
}

// What controllers make of a name has to be a label value and a host name.
func TestNamesOfRunsLeaveRoom(t *testing.T) {
	longest := map[string]string{
		"JobSet": "-workers-1-15", "TrainJob": "-dataset-initializer-0-0", "PyTorchJob": "-worker-99", "RayJob": strings.Repeat("x", 16), "Volcano": "-worker-7",
	}
	for kind, text := range runs {
		obj := object(t, strings.Replace(text, "NAME", strings.Repeat("x", 63), 1))
		got := generationName(obj, obj.GetName(), "-01234567")
		if len(got)+len(longest[kind]) != 63 || !strings.HasSuffix(got, "x-01234567") {
			t.Errorf("%s: %s has %d characters", kind, got, len(got))
		}
	}
}

func TestReferencesToRunsFollow(t *testing.T) {
	pod := func(env string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: ns}, spec: {containers: [{name: c, env: [{name: A, value: "` + env + `"}]}]}}`
	}
	service := func(key, name string) string {
		return `{apiVersion: v1, kind: Service, metadata: {name: s, namespace: ns}, spec: {selector: {` + key + `: ` + name + `}}}`
	}
	for name, c := range map[string]struct{ run, text, want string }{
		"the subdomain of a JobSet is its name": {runs["JobSet"], pod("train-workers-0-0.train:3389"), pod("train-1-workers-0-0.train-1:3389")},
		"a JobSet that names its subdomain keeps it": {
			strings.Replace(runs["JobSet"], "spec: {suspend", "spec: {network: {subdomain: train}, suspend", 1), pod("train-workers-0-0.train"), pod("train-1-workers-0-0.train"),
		},
		"a JobSet's label":              {runs["JobSet"], service("jobset.sigs.k8s.io/jobset-name", "train"), service("jobset.sigs.k8s.io/jobset-name", "train-1")},
		"a TrainJob is a JobSet to all": {runs["TrainJob"], pod("train-node-0-0.train"), pod("train-1-node-0-0.train-1")},
		"ranks of a PyTorchJob":         {runs["PyTorchJob"], pod("train-master-0 train-worker-12 train-other-0"), pod("train-1-master-0 train-1-worker-12 train-other-0")},
		"a PyTorchJob's label":          {runs["PyTorchJob"], service("training.kubeflow.org/job-name", "train"), service("training.kubeflow.org/job-name", "train-1")},
		"tasks of Volcano":              {runs["Volcano"], pod("train-worker-0.train"), pod("train-1-worker-0.train-1")},
		"another kind's label":          {runs["Volcano"], service("job-name", "train"), service("job-name", "train")},
	} {
		t.Run(name, func(t *testing.T) {
			run, got := object(t, strings.Replace(c.run, "NAME", "train", 1)), object(t, c.text)
			follow([]*unstructured.Unstructured{run, got}, []rename{renameOf(run, "train-1")})
			if run.GetName() != "train-1" {
				t.Errorf("it is called %s", run.GetName())
			}
			if d := cmp.Diff(object(t, c.want).Object, got.Object); d != "" {
				t.Error(d)
			}
		})
	}
}

// Every kind that is waited for until it ends is a run, and the other way round.
func TestRunsAreWhatRunsToCompletion(t *testing.T) {
	for gk := range runKinds {
		if ref := (apply.Ref{Group: gk.Group, Kind: gk.Kind}); !apply.RunsToCompletion(ref) || apply.StageOf(ref) != apply.StageJobs {
			t.Errorf("%v has a name for every generation, and is not taken for a job by apply", gk)
		}
	}
}
