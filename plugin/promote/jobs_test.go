package promote

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply/applytest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	return applytest.Object(t, text)
}

const train = `{apiVersion: batch/v1, kind: Job, metadata: {name: train, namespace: ns}, spec: {completionMode: Indexed, completions: 2, parallelism: 2, template: {spec: {containers: [{name: c, image: one}]}}}}`

func named(t *testing.T, state *release.State, objects ...*unstructured.Unstructured) []string {
	t.Helper()
	if err := nameRuns(objects, state); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, obj := range objects {
		names = append(names, obj.GetName())
	}
	return names
}

func TestAJobIsNamedByWhatItRuns(t *testing.T) {
	first := named(t, &release.State{}, object(t, train))[0]
	if !regexp.MustCompile(`^train-[0-9a-f]{8}$`).MatchString(first) {
		t.Errorf("name %q", first)
	}
	for _, c := range []struct {
		name, text string
		same       bool
	}{
		{"the same", train, true},
		{"other parallelism", strings.Replace(train, "parallelism: 2", "parallelism: 1", 1), true},
		{"a time to live", strings.Replace(train, "completions: 2", "completions: 2, ttlSecondsAfterFinished: 5", 1), true},
		{"another image", strings.Replace(train, "one", "two", 1), false},
		{"other completions, which cannot change", strings.Replace(train, "completions: 2", "completions: 3", 1), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := named(t, &release.State{}, object(t, c.text))[0]; (got == first) != c.same {
				t.Errorf("%s and %s", first, got)
			}
		})
	}
}

func TestAPromotionKeepsTheLatestRunOfAGeneration(t *testing.T) {
	name := named(t, &release.State{}, object(t, train))[0]
	entry := func(name string, number int) release.Entry {
		return release.Entry{Ref: apply.Ref{Group: "batch", Kind: "Job", Namespace: "ns", Name: name}, Release: number}
	}
	state := &release.State{Inventory: []release.Entry{entry(name, 1), entry(name+"-r3", 3), entry("train-00000000-r4", 4), entry(name+"-rest", 5)}}
	if got := named(t, state, object(t, train))[0]; got != name+"-r3" {
		t.Errorf("name %q", got)
	}
}

func TestNamesLeaveRoomForTheirPods(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, c := range []struct {
		text string
		want int
	}{
		{`{apiVersion: batch/v1, kind: Job, metadata: {name: ` + long + `}, spec: {completionMode: Indexed, completions: 1000}}`, 59},
		{`{apiVersion: batch/v1, kind: Job, metadata: {name: ` + long + `}, spec: {}}`, 63},
	} {
		obj := object(t, c.text)
		if got := generationName(obj, obj.GetName(), "-01234567"); len(got) != c.want || !strings.HasSuffix(got, "-01234567") {
			t.Errorf("%q has %d characters, want %d", got, len(got), c.want)
		}
	}
}

func TestReferencesToAJobFollowItsName(t *testing.T) {
	pod := func(fields string) string {
		return `{apiVersion: apps/v1, kind: Deployment, metadata: {name: other, namespace: ns}, spec: {template: {spec: {containers: [{name: c, ` + fields + `}]}}}}`
	}
	for _, c := range []struct {
		name, text, want string
		beside           string // another object of the bundle
	}{
		{
			name: "a Service's selector", text: `{kind: Service, apiVersion: v1, metadata: {name: s, namespace: ns}, spec: {selector: {job-name: train, app: train}}}`,
			want: `{kind: Service, apiVersion: v1, metadata: {name: s, namespace: ns}, spec: {selector: {job-name: train-1, app: train}}}`,
		},
		{
			name: "the label with its prefix, in an affinity", text: pod(`x: {matchLabels: {batch.kubernetes.io/job-name: train}, matchExpressions: [{key: job-name, operator: In, values: [train, other]}]}`),
			want: pod(`x: {matchLabels: {batch.kubernetes.io/job-name: train-1}, matchExpressions: [{key: job-name, operator: In, values: [train-1, other]}]}`),
		},
		{
			name: "a reference by kind and name", text: `{kind: ScaledJob, apiVersion: x/v1, metadata: {name: s, namespace: ns}, spec: {target: {kind: Job, name: train}, other: {kind: Pod, name: train}}}`,
			want: `{kind: ScaledJob, apiVersion: x/v1, metadata: {name: s, namespace: ns}, spec: {target: {kind: Job, name: train-1}, other: {kind: Pod, name: train}}}`,
		},
		{
			name: "host names of ranks in env", text: pod(`env: [{name: MASTER_ADDR, value: train-0.train}, {name: ALL, value: "train-0.train:1,train-11.train:1"}, {name: NOT, value: "pretrain-0.x train-er train-0-x"}]`),
			want: pod(`env: [{name: MASTER_ADDR, value: train-1-0.train}, {name: ALL, value: "train-1-0.train:1,train-1-11.train:1"}, {name: NOT, value: "pretrain-0.x train-er train-0-x"}]`),
		},
		{
			name: "host names of ranks in arguments", text: pod(`command: [torchrun, --master_addr=train-0.train], args: [train-0]`),
			want: pod(`command: [torchrun, --master_addr=train-1-0.train], args: [train-1-0]`),
		},
		{name: "the name itself in env", text: pod(`env: [{name: WHO, value: train}]`), want: pod(`env: [{name: WHO, value: train-1}]`)},
		{
			name: "the name itself is ambiguous where a Service has it", beside: `{kind: Service, apiVersion: v1, metadata: {name: train, namespace: ns}}`,
			text: pod(`env: [{name: HOST, value: train}, {name: JOB_NAME, value: train}]`), want: pod(`env: [{name: HOST, value: train}, {name: JOB_NAME, value: train-1}]`),
		},
		{
			name: "host names are ambiguous where a StatefulSet has the name", beside: `{kind: StatefulSet, apiVersion: apps/v1, metadata: {name: train, namespace: ns}}`,
			text: pod(`env: [{name: A, value: train-0.train}]`), want: pod(`env: [{name: A, value: train-0.train}]`),
		},
		{
			name: "another namespace", text: `{kind: Service, apiVersion: v1, metadata: {name: s, namespace: other}, spec: {selector: {job-name: train}}}`,
			want: `{kind: Service, apiVersion: v1, metadata: {name: s, namespace: other}, spec: {selector: {job-name: train}}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			job, got := object(t, train), object(t, c.text)
			objects := []*unstructured.Unstructured{job, got}
			if c.beside != "" {
				objects = append(objects, object(t, c.beside))
			}
			follow(objects, []rename{renameOf(job, "train-1")})
			if job.GetName() != "train-1" {
				t.Errorf("the Job is called %s", job.GetName())
			}
			if diff := cmp.Diff(object(t, c.want).Object, got.Object); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARunAgainHasANameOfItsOwnAndReferencesFollow(t *testing.T) {
	job := object(t, strings.Replace(train, "name: train", "name: train-aaaaaaaa-r2", 1))
	service := object(t, `{kind: Service, apiVersion: v1, metadata: {name: s, namespace: ns}, spec: {selector: {job-name: train-aaaaaaaa-r2}}}`)
	rerun([]*unstructured.Unstructured{job, service}, map[apply.Ref]bool{apply.RefOf(job): true}, 7)
	selector, _, _ := unstructured.NestedString(service.Object, "spec", "selector", "job-name")
	if job.GetName() != "train-aaaaaaaa-r7" || selector != job.GetName() {
		t.Errorf("%s, selected as %s", job.GetName(), selector)
	}
}
