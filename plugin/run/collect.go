package run

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/metric"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// Bounds of a record, which is one ConfigMap: 1 MiB. Chosen.
const (
	maxHistory  = 200 // of a metric's history
	maxMetrics  = 64
	maxRankData = 256
	// longestLine bounds the memory that a line takes; a longer one is talk.
	longestLine = 64 << 10
)

// ReadLog takes in what a rank said: a log whose lines begin with their time
// (kubectl logs --timestamps). Lines up to since were taken in before. It
// returns the time of the last whole line.
func (r *Record) ReadLog(log io.Reader, rank int, since time.Time, metrics []project.Metric) (time.Time, error) {
	reader := bufio.NewReaderSize(log, longestLine)
	last := since
	for {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) { // to its end
				_, err = reader.ReadSlice('\n')
			}
			line = nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return last, err
		}
		if stamp, text, ok := strings.Cut(string(line), " "); ok {
			at, parseErr := time.Parse(time.RFC3339Nano, stamp)
			if parseErr == nil && at.After(since) {
				r.Line(at, rank, strings.TrimRight(text, "\r\n"), metrics)
				last = at
			}
		}
		if err != nil {
			return last, nil
		}
	}
}

// Line takes in one line that a rank said, and returns what it said.
func (r *Record) Line(at time.Time, rank int, text string, metrics []project.Metric) metric.Words {
	words, err := metric.Read([]byte(text))
	var malformed *metric.MalformedError
	if errors.As(err, &malformed) {
		if r.Malformed == nil {
			r.Malformed = &Malformed{First: fmt.Sprintf("%v: %.200s", malformed.Err, strings.ToValidUTF8(text, "\uFFFD"))}
		}
		r.Malformed.Lines++
	}
	if words.Report != nil {
		r.report(at, rank, *words.Report, metrics)
	}
	if words.Data != nil {
		r.Data = slices.DeleteFunc(r.Data, func(d RankData) bool { return d.Rank == rank })
		if len(r.Data) < maxRankData {
			r.Data = append(r.Data, RankData{rank, *words.Data})
			slices.SortFunc(r.Data, func(a, b RankData) int { return a.Rank - b.Rank })
		}
	}
	if words.Model != nil {
		r.Model = words.Model
	}
	if words.Validation != nil {
		r.Validation = words.Validation
	}
	return words
}

// report takes in a line of metrics. Every rank of a gang may report the same;
// the lowest that does counts.
func (r *Record) report(at time.Time, rank int, report metric.Report, metrics []project.Metric) {
	for _, v := range report.Metrics {
		m := r.Metric(v.Name)
		switch {
		case m == nil && len(r.Metrics) >= maxMetrics:
			continue
		case m == nil:
			r.Metrics = append(r.Metrics, Metric{Name: v.Name, Rank: rank, Goal: goalOf(v.Name, metrics)})
			m = &r.Metrics[len(r.Metrics)-1]
		case rank > m.Rank:
			continue
		case rank < m.Rank: // from here on
			*m = Metric{Name: v.Name, Rank: rank, Goal: m.Goal}
		}
		m.add(Point{Time: at, Step: m.Count, Value: Number(v.Value)})
	}
	if rank == 0 || r.Said.IsZero() {
		r.Said = at
		if !math.IsNaN(report.Progress) {
			progress := Number(min(max(report.Progress, 0), 100))
			r.Progress = &progress
		}
		r.Remaining = nil
		if report.Remaining >= 0 {
			r.Remaining = &report.Remaining
		}
	}
}

func goalOf(name string, metrics []project.Metric) string {
	i := slices.IndexFunc(metrics, func(m project.Metric) bool { return m.Name == name })
	if i < 0 {
		return ""
	}
	return metrics[i].Goal
}

func (m *Metric) add(p Point) {
	m.Last = p.Value
	if m.Count == 0 || m.Goal == "" || better(m.Goal, p.Value, m.Best) {
		m.Best = p.Value
	}
	m.Count++
	m.History = append(m.History, p)
	if len(m.History) > maxHistory { // every second one stays, and the last
		var thinner []Point
		for i, p := range m.History {
			if i%2 == 0 || i == len(m.History)-1 {
				thinner = append(thinner, p)
			}
		}
		m.History = thinner
	}
}

// better says whether a is better than b by a goal. Whatever is a number is
// better than NaN.
func better(goal string, a, b Number) bool {
	switch {
	case a.IsNaN():
		return false
	case b.IsNaN():
		return true
	case goal == project.Minimize:
		return a < b
	}
	return a > b
}

// Best returns the run that is best by a metric: of its best values, by its
// goal. nil: none reported it as a number.
func Best(records []Record, m project.Metric) *Record {
	var best *Record
	for i := range records {
		own := records[i].Metric(m.Name)
		if own == nil || own.Best.IsNaN() {
			continue
		}
		if best == nil || better(m.Goal, own.Best, best.Metric(m.Name).Best) {
			best = &records[i]
		}
	}
	return best
}

// Left estimates how long a run that goes on will take: by what its code says,
// else by its progress. ok is false when neither says anything.
func (r *Record) Left(now time.Time) (left time.Duration, ok bool) {
	switch {
	case r.Done() || r.Started.IsZero():
		return 0, false
	case r.Remaining != nil:
		left = time.Duration(*r.Remaining)*time.Second - now.Sub(r.Said)
	case r.Progress != nil && *r.Progress > 0:
		took := r.Said.Sub(r.Started)
		left = time.Duration(float64(took)*(100-float64(*r.Progress))/float64(*r.Progress)) - now.Sub(r.Said)
	default:
		return 0, false
	}
	return max(left, 0), true
}
