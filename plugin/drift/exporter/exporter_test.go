package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

// cluster is pods by address, and the references of models.
type cluster struct {
	pods       map[string]string
	references map[string]*drift.Reference
	current    string
	now        time.Time
	dns        error
}

func (c *cluster) lookup(context.Context, string) ([]string, error) {
	return slices.Sorted(maps.Keys(c.pods)), c.dns
}

// RoundTrip answers for the pods; the page "" is a pod that does not.
func (c *cluster) RoundTrip(r *http.Request) (*http.Response, error) {
	page := c.pods[r.URL.Hostname()]
	if page == "" || r.URL.Path != "/metrics" || r.URL.Port() != "8080" {
		return nil, fmt.Errorf("no answer from %s", r.URL)
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(page))}, nil
}

func (c *cluster) Current(context.Context) (string, error) { return c.current, nil }

func (c *cluster) Reference(_ context.Context, digest string) (*drift.Reference, error) {
	if ref := c.references[digest]; ref != nil {
		return ref, nil
	}
	return nil, errors.New("no reference of " + digest)
}

// page is a model's that was asked n times with a value under 0.5 and m times
// with one above.
func page(digest string, n, m int) string {
	text := fmt.Sprintf(`# TYPE feature_value histogram
feature_value_bucket{feature="0",le="0.5"} %[1]d
feature_value_bucket{feature="0",le="+Inf"} %[2]d
feature_value_count{feature="0"} %[2]d
feature_value_sum{feature="0"} 1
predictions_total{class="3"} %[2]d
labelled_total 2
labelled_correct_total 1
`, n, n+m)
	if digest != "" {
		text += fmt.Sprintf("model_info{digest=%q} 1\n", digest)
	}
	return text
}

func newCluster(t *testing.T) (*cluster, *Exporter) {
	t.Helper()
	accuracy := 0.95
	half := func(bound float64) *drift.Reference {
		return &drift.Reference{Features: map[string]drift.Histogram{"0": {Bounds: []float64{bound}, Counts: []float64{500, 500}}}, Accuracy: &accuracy}
	}
	c := &cluster{
		pods:       map[string]string{},
		references: map[string]*drift.Reference{"sha256:aaaaaa": half(0.5), "sha256:bbbbbb": half(0.5), "sha256:cccccc": half(0.7)},
		now:        time.Unix(1000, 0),
	}
	e, err := New(c, Options{
		Targets: "serve-pods:8080", Every: 5 * time.Second, Window: 20 * time.Second,
		Lookup: c.lookup, Client: &http.Client{Transport: c}, Now: func() time.Time { return c.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

// look lets five seconds pass.
func (c *cluster) look(t *testing.T, e *Exporter) Status {
	t.Helper()
	c.now = c.now.Add(5 * time.Second)
	e.Look(t.Context())
	s, _ := e.now()
	return s
}

func samples(s Status) float64 {
	if s.Report == nil {
		return -1
	}
	return s.Samples
}

func TestTheWindowHoldsWhatGrewInIt(t *testing.T) {
	c, e := newCluster(t)
	step := func(what string, want float64, pods map[string]string) {
		t.Helper()
		maps.Copy(c.pods, pods)
		if got := c.look(t, e); samples(got) != want {
			t.Errorf("%s: %v samples, want %v (%+v)", what, samples(got), want, got)
		}
	}
	const a = "sha256:aaaaaa"
	step("the past of two pods is not counted", 0, map[string]string{"10.0.0.1": page(a, 50, 50), "10.0.0.2": page(a, 10, 0)})
	step("both grow", 30, map[string]string{"10.0.0.1": page(a, 60, 60), "10.0.0.2": page(a, 10, 10)})
	step("one is restarted", 37, map[string]string{"10.0.0.1": page(a, 7, 0)})
	step("one does not answer", 37, map[string]string{"10.0.0.1": ""})
	step("it answers again", 41, map[string]string{"10.0.0.1": page(a, 8, 3)})
	step("the first growth leaves the window", 11, nil)
	step("a canary is another model's", 11-7, map[string]string{"10.0.0.3": page("sha256:bbbbbb", 100, 100)})
	step("and does not count when it grows", 4, map[string]string{"10.0.0.3": page("sha256:bbbbbb", 200, 200)})
	c.pods["10.0.0.1"] = page("sha256:bbbbbb", 9, 9)
	step("when most pods serve it, its window begins", 0, nil)
	step("and it counts", 4, map[string]string{"10.0.0.1": page("sha256:bbbbbb", 11, 11)})
}

func TestAPodWithoutADigestIsOfTheCurrentModel(t *testing.T) {
	c, e := newCluster(t)
	c.current = "sha256:aaaaaa"
	c.pods["10.0.0.1"] = page("", 1, 1)
	c.look(t, e)
	c.pods["10.0.0.1"] = page("", 2, 2)
	if s := c.look(t, e); s.Model != c.current || samples(s) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestWhatGoesWrongIsSaidAndTriedAgain(t *testing.T) {
	c, e := newCluster(t)
	c.dns = &net.DNSError{Name: "serve-pods", IsNotFound: true}
	if s := c.look(t, e); s.Error != "" || s.Targets != 0 || s.Report != nil {
		t.Errorf("without a pod: %+v", s)
	}
	c.dns = nil
	c.pods["10.0.0.1"], c.pods["10.0.0.2"] = page("sha256:dddddd", 1, 1), "no metrics"
	if s := c.look(t, e); s.Error != "no reference of sha256:dddddd" || s.Targets != 1 || s.Report != nil {
		t.Errorf("without a reference: %+v", s)
	}
	c.references["sha256:dddddd"] = c.references["sha256:aaaaaa"]
	c.look(t, e)
	c.pods["10.0.0.1"] = page("sha256:dddddd", 2, 2)
	if s := c.look(t, e); s.Error != "" || samples(s) != 2 {
		t.Errorf("the reference came: %+v", s)
	}
	c.pods["10.0.0.1"] = page("sha256:cccccc", 2, 2)
	c.look(t, e)
	c.pods["10.0.0.1"] = page("sha256:cccccc", 3, 3)
	if s := c.look(t, e); !strings.Contains(s.Error, "has the bounds [0.7] in the reference and [0.5]") {
		t.Errorf("other bounds: %+v", s)
	}
	c.dns = errors.New("no DNS server")
	c.look(t, e)
	_, failed := e.now()
	want := map[string]float64{stepDiscover: 1, stepScrape: 6, stepReference: 1, stepCompare: 2}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Error(diff)
	}
}

func TestPages(t *testing.T) {
	c, e := newCluster(t)
	c.pods["10.0.0.1"] = page("sha256:aaaaaa", 0, 0)
	c.look(t, e)
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if _, text := get("/metrics"); strings.Contains(text, "drift_psi") || !strings.Contains(text, "drift_samples 0") {
		t.Errorf("nobody asked:\n%s", text)
	}
	c.pods["10.0.0.1"] = page("sha256:aaaaaa", 400, 600)
	c.look(t, e)
	_, text := get("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := []string{
		"drift_errors_total", "drift_ks_max", "drift_labelled", "drift_psi", "drift_psi_max", "drift_psi_mean",
		"drift_reference_accuracy", "drift_reference_info", "drift_samples", "drift_targets", "drift_window_seconds",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(families))); diff != "" {
		t.Error(diff)
	}
	if got := families["drift_ks_max"].Metric[0].Gauge.GetValue(); got < 0.099 || got > 0.101 {
		t.Errorf("drift_ks_max %v, want 0.1", got)
	}
	if _, report := get("/report"); !strings.Contains(report, `"model":"sha256:aaaaaa","targets":1,"windowSeconds":20,"samples":1000,"features":[{"name":"0",`) {
		t.Errorf("%s", report)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz %d", code)
	}
	c.now = c.now.Add(time.Minute)
	if code, _ := get("/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("healthz of one that does not look any more: %d", code)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{Targets: "serve", Every: time.Second, Window: time.Minute},
		{Targets: "serve:8080", Every: 0, Window: time.Minute},
		{Targets: "serve:8080", Every: time.Minute, Window: time.Second},
	} {
		if _, err := New(File(""), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
