package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// speech is what the containers of a cluster say, by pod.
type speech struct {
	mu     sync.Mutex
	clock  time.Time
	lines  map[string]string
	opened map[string]int
	end    bool // streams end when all is said, as when a connection is cut
	err    error
	faults
}

// faults are what goes wrong with the log of rank 0 for a while.
type faults struct {
	refusals int  // so many opens fail
	whole    bool // only of logs that are read to their end
	cuts     int  // so many logs that are read to their end break off
}

// say adds a report to what a pod says.
func (s *speech) say(pod, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(time.Second)
	s.lines[pod] += fmt.Sprintf("%s {\"metrics\": [{\"name\": \"accuracy\", \"value\": %s}]}\n", s.clock.Format(time.RFC3339Nano), value)
}

func (s *speech) log(ctx context.Context, _, pod, _ string, _ time.Time, follow bool) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[pod]++
	if s.err != nil {
		return nil, s.err
	}
	text := s.lines[pod]
	r, w := io.Pipe()
	if pod == "r0" && s.refusals > 0 && (!s.whole || !follow) {
		s.refusals--
		return nil, apierrors.NewInternalError(errors.New("dial tcp 10.0.0.1:10250: connect: connection refused"))
	}
	if pod == "r0" && s.cuts > 0 && !follow {
		s.cuts--
		go func() {
			_, _ = io.WriteString(w, text[:len(text)*3/4])
			_ = w.CloseWithError(io.ErrUnexpectedEOF)
		}()
		return r, nil
	}
	go func() {
		_, _ = io.WriteString(w, text)
		if follow && !s.end {
			<-ctx.Done()
		}
		_ = w.Close()
	}()
	return r, nil
}

func rankOf(t *testing.T, name, run string, index int, state string) *unstructured.Unstructured {
	t.Helper()
	return object(t, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: ns, uid: %[1]s, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: j, uid: uid-%[2]s, controller: true}], labels: {job-name: %[2]s, kubectl-ai.dev/project: digits}, annotations: {
		kubectl-ai.dev/tree-digest: "sha256:t", kubectl-ai.dev/code-containers: main, batch.kubernetes.io/job-completion-index: "%[3]d"}},
		status: {phase: Running, containerStatuses: [{name: main, containerID: "c-%[1]s", ready: true, state: {%[4]s: {}}}], conditions: [{type: Ready, status: "True"}]}}`, name, run, index, state))
}

func TestUntilMetric(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods/log"}, "r0", errors.New("no"))
	for _, c := range []struct {
		name  string
		said  map[string][]string // by pod
		cut   bool                // streams are cut
		later string              // rank 0 says so after a minute
		ends  bool                // and the run ends then
		err   error               // of opening a log
		faults
		words string // of the error; "": it is met
		ended bool
	}{
		{name: "it is met", said: map[string][]string{"r0": {"0.5", "0.95"}}},
		{name: "it is met later, on a stream that was cut", said: map[string][]string{"r0": {"0.5"}}, cut: true, later: "0.95"},
		{name: "rank 0 speaks for all", said: map[string][]string{"r0": {"0.5"}, "r1": {"0.99"}}, ends: true, words: "accuracy: 0.5; at least 0.9", ended: true},
		{name: "rank 1 where rank 0 reports none", said: map[string][]string{"r1": {"0.99"}}},
		{name: "not of a run of another release with the same code", said: map[string][]string{"old": {"0.99"}}, ends: true, words: "accuracy: never reported", ended: true},
		{name: "NaN ends it", said: map[string][]string{"r0": {"0.5", "NaN"}}, words: "accuracy: NaN"},
		{name: "the last word before the end counts", said: map[string][]string{"r0": {"0.5"}}, later: "0.95", ends: true},
		{name: "logs may not be read", err: forbidden, words: "pods/log"},
		{name: "a kubelet restarts", said: map[string][]string{"r0": {"0.5", "0.95"}}, faults: faults{refusals: 20}},
		{name: "at the end too", said: map[string][]string{"r0": {"0.5"}}, later: "0.95", ends: true, faults: faults{refusals: opens - 1, whole: true}},
		{name: "and does not come back", said: map[string][]string{"r0": {"0.5"}}, later: "0.95", ends: true, faults: faults{refusals: 100, whole: true}, words: "10250: connect: connection refused"},
		{name: "and does not come back while it runs", faults: faults{refusals: math.MaxInt}, words: "namespace ns (read the log of r0/main: "},
		{name: "a log that breaks off before its last word", said: map[string][]string{"r0": {"0.5", "0.95"}}, faults: faults{cuts: 2}},
		{name: "time runs out", said: map[string][]string{"r0": {"0.5"}}, words: "still waiting for metric accuracy: 0.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				job := member(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1))
				old := member(t, earlierJob)
				p, d := cluster(t, job, old, rankOf(t, "r0", job.GetName(), 0, "running"), rankOf(t, "r1", job.GetName(), 1, "running"), rankOf(t, "old", old.GetName(), 0, "running"))
				s := &speech{clock: time.Now(), lines: map[string]string{}, opened: map[string]int{}, end: c.cut, err: c.err, faults: c.faults}
				for pod, values := range c.said {
					for _, v := range values {
						s.say(pod, v)
					}
				}
				limit := 0.9
				p.Log, p.Options.Metrics = s.log, []project.Metric{{Name: "accuracy", Goal: project.Maximize, Threshold: &limit}}
				p.Options.Timeout = time.Hour
				r := &run{Promoter: p, plan: &Plan{Tree: "sha256:t", waited: []*unstructured.Unstructured{job}, formerRuns: []*unstructured.Unstructured{old}}}
				if c.later != "" || c.ends {
					go func() {
						time.Sleep(time.Minute)
						if c.later != "" {
							s.say("r0", c.later)
						}
						if c.ends {
							job := job.DeepCopy()
							job.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}
							if err := d.Tracker().Update(schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, job, "ns"); err != nil {
								t.Error(err)
							}
						}
					}()
				}
				err := r.wait(t.Context())
				var failed *MetricError
				switch {
				case c.words == "" && (err != nil || len(r.record.Gates) != 1 || !r.record.Gates[0].Passed):
					t.Errorf("%v, recorded %+v", err, r.record.Gates)
				case c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)):
					t.Errorf("err = %v", err)
				case errors.As(err, &failed) && failed.Ended != c.ended:
					t.Errorf("ended: %v", failed.Ended)
				}
				if s.opened["old"] > 0 {
					t.Error("a run of another release is listened to")
				}
			})
		})
	}
}
