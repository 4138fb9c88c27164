package drift

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Names of the metrics that a served model has.
const (
	MetricFeature     = "feature_value"     // histogram, label feature
	MetricPredictions = "predictions_total" // counter, label class
	MetricLabelled    = "labelled_total"    // counter: predictions whose true label came
	MetricCorrect     = "labelled_correct_total"
	MetricModel       = "model_info" // 1, label digest
)

// Counters is what a served model counted, since it started or within a time.
type Counters struct {
	Features          map[string]Histogram
	Predictions       map[string]float64 // by class
	Labelled, Correct float64
}

// Page is a served model's page of metrics.
type Page struct {
	// Model is the digest of the model, with its algorithm (sha256:…); "": the
	// page does not say.
	Model string
	Counters
}

// MetricsError says what is wrong with a page of metrics.
type MetricsError struct{ Err error }

func (e *MetricsError) Error() string { return fmt.Sprintf("metrics of the model: %v", e.Err) }
func (e *MetricsError) Unwrap() error { return e.Err }

// ReadMetrics reads Prometheus' text format. Metrics that are none of ours are
// passed over; one of ours that cannot be is a *MetricsError.
func ReadMetrics(r io.Reader) (*Page, error) {
	content, err := readAll(r)
	if err != nil {
		return nil, &MetricsError{err}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(content))
	if err != nil {
		return nil, &MetricsError{err}
	}
	p, err := readFamilies(families)
	if err != nil {
		return nil, &MetricsError{err}
	}
	return p, nil
}

func readFamilies(families map[string]*dto.MetricFamily) (*Page, error) {
	p := &Page{Counters: Counters{Features: map[string]Histogram{}}}
	var err error
	if _, untyped := families[MetricFeature+"_bucket"]; untyped {
		return nil, fmt.Errorf("%s_bucket comes without the line # TYPE %s histogram", MetricFeature, MetricFeature)
	}
	for _, m := range families[MetricFeature].GetMetric() {
		name := label(m, "feature")
		if _, twice := p.Features[name]; twice {
			return nil, fmt.Errorf("%s of feature %q is there twice", MetricFeature, name)
		}
		if p.Features[name], err = readHistogram(m); err != nil {
			return nil, fmt.Errorf("%s of feature %q: %w", MetricFeature, name, err)
		}
	}
	if p.Predictions, err = readCounter(families[MetricPredictions], "class"); err != nil {
		return nil, err
	}
	labelled, err := readCounter(families[MetricLabelled], "")
	if err != nil {
		return nil, err
	}
	correct, err := readCounter(families[MetricCorrect], "")
	if err != nil {
		return nil, err
	}
	p.Labelled, p.Correct = sum(labelled), sum(correct)
	if p.Correct > p.Labelled {
		return nil, fmt.Errorf("%s is %v, of %v labelled", MetricCorrect, p.Correct, p.Labelled)
	}
	for _, m := range families[MetricModel].GetMetric() {
		if value(m) == 1 {
			p.Model = label(m, "digest")
		}
	}
	return p, nil
}

func readHistogram(m *dto.Metric) (Histogram, error) {
	if m.Histogram == nil {
		return Histogram{}, errors.New("is no histogram")
	}
	buckets := slices.Clone(m.Histogram.GetBucket())
	slices.SortFunc(buckets, func(a, b *dto.Bucket) int { return cmp.Compare(a.GetUpperBound(), b.GetUpperBound()) })
	var h Histogram
	var below uint64
	for _, b := range buckets {
		if b.GetCumulativeCount() < below || b.GetCumulativeCount() > maxCount {
			return Histogram{}, fmt.Errorf("its buckets are not cumulative at le=%v", b.GetUpperBound())
		}
		if !math.IsInf(b.GetUpperBound(), 1) {
			h.Bounds = append(h.Bounds, b.GetUpperBound())
		}
		h.Counts = append(h.Counts, float64(b.GetCumulativeCount()-below))
		below = b.GetCumulativeCount()
	}
	if err := checkBounds(h.Bounds); err != nil {
		return Histogram{}, err
	}
	if len(h.Counts) != len(h.Bounds)+1 {
		return Histogram{}, errors.New(`it has no bucket le="+Inf", or two`)
	}
	if m.Histogram.GetSampleCount() != below {
		return Histogram{}, fmt.Errorf(`its count is %d, and its bucket le="+Inf" has %d`, m.Histogram.GetSampleCount(), below)
	}
	return h, nil
}

// readCounter sums a family's metrics by a label.
func readCounter(family *dto.MetricFamily, by string) (map[string]float64, error) {
	counts := map[string]float64{}
	for _, m := range family.GetMetric() {
		counts[label(m, by)] += value(m)
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if err := checkCount(counts[name]); err != nil {
			return nil, fmt.Errorf("%s %s: %w", family.GetName(), name, err)
		}
	}
	return counts, nil
}

// value is a metric's, whatever its type was said to be.
func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Untyped != nil:
		return m.Untyped.GetValue()
	}
	return math.NaN()
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
