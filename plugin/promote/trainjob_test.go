package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

var trainJobs = schema.GroupVersionResource{Group: "trainer.kubeflow.org", Version: "v1alpha1", Resource: "trainjobs"}

// trainJob is one whose trainer posted an accuracy; "": nothing.
func trainJob(t *testing.T, accuracy string) *unstructured.Unstructured {
	t.Helper()
	status := ""
	if accuracy != "" {
		status = fmt.Sprintf(`, trainerStatus: {lastUpdatedTime: "2026-11-26T10:00:00Z", progressPercentage: 40, metrics: [{name: accuracy, value: %q}]}`, accuracy)
	}
	return member(t, `{apiVersion: trainer.kubeflow.org/v1alpha1, kind: TrainJob, metadata: {name: train-89abcdef, namespace: ns}, spec: {suspend: false}, status: {jobsStatus: [{name: node, active: 1, ready: 1}]`+status+`}}`)
}

func TestUntilAMetricThatIsPostedToATrainJob(t *testing.T) {
	for _, c := range []struct{ first, later, words string }{
		{first: "0.95"},
		{later: "0.95"},
		{first: "0.5", later: "0.95"},
		{first: "0.5", later: "NaN", words: "accuracy: NaN"},
		{first: "0.5", words: "still waiting for metric accuracy: 0.5"},
		{words: "accuracy: never reported"},
	} {
		t.Run(c.first+", "+c.later, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				job := trainJob(t, c.first)
				p, d := cluster(t, job)
				limit := 0.9
				p.Options.Metrics, p.Options.Timeout = []project.Metric{{Name: "accuracy", Goal: project.Maximize, Threshold: &limit}}, time.Hour
				p.Log = func(context.Context, string, string, string, time.Time, bool) (io.ReadCloser, error) {
					return nil, errors.New("there is no pod")
				}
				if c.later != "" {
					go func() {
						time.Sleep(time.Minute)
						if err := d.Tracker().Update(trainJobs, trainJob(t, c.later), "ns"); err != nil {
							t.Error(err)
						}
					}()
				}
				r := &run{Promoter: p, plan: &Plan{Tree: "sha256:t", waited: []*unstructured.Unstructured{job}}}
				err := r.wait(t.Context())
				if c.words != "" {
					if err == nil || !strings.Contains(err.Error(), c.words) {
						t.Errorf("err = %v", err)
					}
					return
				}
				if err != nil || len(r.record.Gates) != 1 || !r.record.Gates[0].Passed || r.record.Gates[0].Metric.Pod != "ns/TrainJob/train-89abcdef" {
					t.Errorf("%v, recorded %+v", err, r.record.Gates)
				}
			})
		})
	}
}

func TestAGateReadsWhatWasPostedToATrainJob(t *testing.T) {
	for _, c := range []struct {
		tree  string
		live  bool
		value string
		want  bool
	}{
		{tree: "sha256:t", live: true, value: "0.95", want: true},
		{tree: "sha256:t", live: true},                    // nothing was posted
		{tree: "sha256:t"},                                // it is gone
		{tree: "sha256:other", live: true, value: "0.95"}, // of other code
	} {
		job := trainJob(t, c.value)
		p, _ := cluster(t)
		if c.live {
			p, _ = cluster(t, job)
		}
		record := release.Record{
			APIVersion: release.APIVersion, Kind: release.Kind, Revision: 1, Project: "digits", Namespace: "ns", Status: release.Deployed, TreeDigest: "sha256:t",
			Workloads: []apply.Standing{{Object: apply.RefOf(job)}},
		}
		if err := p.Store.Add(t.Context(), &release.State{}, record, nil); err != nil {
			t.Fatal(err)
		}
		s := gate.Sample{Rank: -1}
		if err := p.SamplePosted(t.Context(), &s, "accuracy", c.tree); err != nil {
			t.Fatal(err)
		}
		if s.Reported != c.want || c.want && (s.Value != 0.95 || s.Rank != 0 || s.Pod != "ns/TrainJob/train-89abcdef") {
			t.Errorf("%+v: %+v", c, s)
		}
	}
}
