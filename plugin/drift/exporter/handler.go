package exporter

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Handler serves /metrics to Prometheus, /report (a Status as JSON) to people's
// tools, and /healthz, which fails when looking at the pods has stopped.
func (e *Exporter) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
		_, _ = w.Write(e.text())
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		status, _ := e.now()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		e.mu.Lock()
		silent := e.Now().Sub(e.lastEnd)
		e.mu.Unlock()
		if silent > 10*e.Every+e.Client.Timeout {
			http.Error(w, "no look at the pods for "+silent.String(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

// now returns a status that nobody changes.
func (e *Exporter) now() (Status, map[string]float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status, maps.Clone(e.failed)
}

// families makes metric families, in order.
type families []*dto.MetricFamily

type sample struct {
	label, value string
	number       float64
}

func (f *families) add(kind dto.MetricType, name, help string, samples ...sample) {
	family := &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
	for _, s := range samples {
		m := &dto.Metric{}
		if s.label != "" {
			m.Label = []*dto.LabelPair{{Name: &s.label, Value: &s.value}}
		}
		if kind == dto.MetricType_COUNTER {
			m.Counter = &dto.Counter{Value: &s.number}
		} else {
			m.Gauge = &dto.Gauge{Value: &s.number}
		}
		family.Metric = append(family.Metric, m)
	}
	*f = append(*f, family)
}

func (f *families) gauge(name, help string, number float64) {
	f.add(dto.MetricType_GAUGE, name, help, sample{number: number})
}

// optional is a gauge that is absent where there is no number: an alert on it
// stays silent.
func (f *families) optional(name, help string, number *float64) {
	if number != nil {
		f.gauge(name, help, *number)
	}
}

// text is the page of metrics in Prometheus' text format, version 0.0.4.
func (e *Exporter) text() []byte {
	s, failed := e.now()
	var f families
	f.gauge("drift_targets", "Pods of the served model that answered at the last look.", float64(s.Targets))
	f.gauge("drift_window_seconds", "How far back the figures reach.", s.WindowSeconds)
	var wrong []sample
	for _, step := range slices.Sorted(maps.Keys(failed)) {
		wrong = append(wrong, sample{"step", step, failed[step]})
	}
	f.add(dto.MetricType_COUNTER, "drift_errors_total", "What went wrong while looking, by step.", wrong...)
	if r := s.Report; r != nil {
		f.add(dto.MetricType_GAUGE, "drift_reference_info", "The model whose reference is compared with.", sample{"digest", s.Model, 1})
		f.gauge("drift_samples", "Requests in the window.", r.Samples)
		f.gauge("drift_labelled", "Predictions in the window that people labelled.", r.Labelled)
		f.optional("drift_accuracy", "Share of the labelled predictions that were right.", r.Accuracy)
		f.optional("drift_reference_accuracy", "Accuracy on held-out samples at training.", r.ReferenceAccuracy)
		f.optional("drift_prediction_psi", "Population stability index of the predicted classes.", r.PredictionPSI)
		if r.Samples > 0 {
			f.gauge("drift_psi_mean", "Mean of the features' population stability indices.", r.PSIMean)
			f.gauge("drift_psi_max", "Largest population stability index of a feature.", r.PSIMax)
			f.gauge("drift_ks_max", "Largest Kolmogorov-Smirnov distance of a feature.", r.KSMax)
			var psi []sample
			for _, feature := range r.Features {
				psi = append(psi, sample{"feature", feature.Name, feature.PSI})
			}
			f.add(dto.MetricType_GAUGE, "drift_psi", "Population stability index of a feature.", psi...)
		}
	}
	var out bytes.Buffer
	for _, family := range f {
		_, _ = expfmt.MetricFamilyToText(&out, family) // a buffer takes all
	}
	return out.Bytes()
}
