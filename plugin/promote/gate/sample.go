package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/metric"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Sample is what code reported of a metric in one cluster.
type Sample struct {
	Reported  bool
	Value     float64 // may be NaN
	At        time.Time
	Context   string
	Pod       string // namespace/pod/container
	Rank      int
	Malformed int
	// Where says in which run it was looked for, for people.
	Where string
}

// longestLine bounds the memory that a line takes; a longer one is talk.
const longestLine = 64 << 10

// Read finds the last value of a metric in a log whose lines begin with their
// time (kubectl logs --timestamps), between since and until; a zero time is no
// bound. It fills in Reported, Value, At and Malformed.
func (s *Sample) Read(log io.Reader, name string, since, until time.Time) error {
	reader := bufio.NewReaderSize(log, longestLine)
	for {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) { // to its end
				_, err = reader.ReadSlice('\n')
			}
			line = nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		s.Line(string(line), name, since, until)
		if err != nil {
			return nil
		}
	}
}

// Line takes one line of such a log in.
func (s *Sample) Line(line, name string, since, until time.Time) {
	stamp, text, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || at.Before(since) || !until.IsZero() && !at.Before(until) {
		return
	}
	report, err := metric.Parse([]byte(text))
	var malformed *metric.MalformedError
	if errors.As(err, &malformed) {
		s.Malformed++
	}
	for _, v := range report.Metrics {
		if v.Name == name {
			s.Reported, s.Value, s.At = true, v.Value, at
		}
	}
}

// metric asks what was reported, in each cluster.
func (k *Keeper) metric(ctx context.Context, g project.Gate) ([]release.Gate, error) {
	i := slices.IndexFunc(k.Metrics, func(m project.Metric) bool { return m.Name == g.Metric })
	if i < 0 || k.Metrics[i].Threshold == nil {
		return nil, fmt.Errorf("metric %s: the project file gives no threshold", g.Metric)
	}
	samples, err := k.Sample(ctx, g.Metric, g.From)
	if err != nil {
		return nil, fmt.Errorf("read metric %s: %w", g.Metric, err)
	}
	var out []release.Gate
	for _, s := range samples {
		out = append(out, Judge(k.Metrics[i], s))
	}
	return out, nil
}

// Judge says whether a sample meets the metric's threshold.
func Judge(m project.Metric, s Sample) release.Gate {
	word := "at least"
	if m.Goal == project.Minimize {
		word = "at most"
	}
	wanted := fmt.Sprintf("%s %g is wanted", word, *m.Threshold)
	g := release.Gate{Kind: "metric", Name: m.Name, Metric: &release.GateMetric{
		Goal: m.Goal, Threshold: *m.Threshold, Dataset: m.Dataset.Name, Seed: m.Dataset.Seed,
		Context: s.Context, Pod: s.Pod, Rank: s.Rank, Reported: s.At.UTC(), Malformed: s.Malformed,
	}}
	switch {
	case !s.Reported && s.Malformed > 0:
		g.Detail = fmt.Sprintf("never reported, and %d lines that were meant to report cannot be read; %s; %s", s.Malformed, wanted, s.Where)
	case !s.Reported:
		g.Detail = fmt.Sprintf("never reported; %s; %s", wanted, s.Where)
	case math.IsNaN(s.Value):
		g.Detail = fmt.Sprintf("NaN; %s; %s", wanted, s.Where)
	default:
		g.Passed = m.Meets(s.Value)
		g.Detail = fmt.Sprintf("%g; %s; %s", s.Value, wanted, s.Where)
		if !math.IsInf(s.Value, 0) {
			g.Metric.Value = &s.Value
		}
	}
	return g
}
