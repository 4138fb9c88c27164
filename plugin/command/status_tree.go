package command

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/plugin/live"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// liveTree draws a live state for a terminal: a run is a line of facts, its ranks
// are below it. Where a line is too long its facts go on in the next, so that
// nothing is lost in 40 columns.
type liveTree struct {
	width int
	color bool
	now   time.Time
	lines []string
}

// states are the marks and colours of phases. A phase is always a word too.
var states = map[string]struct {
	mark  string
	color ansi.BasicColor
}{
	"Running": {"●", ansi.Green}, "Succeeded": {"✓", ansi.Green}, "Complete": {"✓", ansi.Green},
	"Failed": {"✗", ansi.Red}, "Lost": {"✗", ansi.Red},
}

// sparkCells is how wide the curve of a run is.
const sparkCells = 12

// draw returns the lines of a state; only keeps one run, "" all.
func (t *liveTree) draw(s live.State, only string) []string {
	t.lines = nil
	t.flow("", "", []string{t.bold(s.Project), s.Environment, s.Context, "namespace " + s.Namespace}, " · ")
	shown := 0
	for _, r := range s.Runs {
		if only != "" && r.ID != only {
			continue
		}
		if only == "" && r.Done {
			if shown++; shown > recent {
				continue
			}
		}
		t.run(r)
	}
	if len(s.Runs) == 0 {
		t.lines = append(t.lines, "", "no run yet; next: kubectl ai run, or kubectl ai dev")
	}
	if len(s.Nodes) > 0 {
		t.lines = append(t.lines, "")
	}
	for _, n := range s.Nodes {
		t.node(n)
	}
	for _, u := range s.Unread {
		t.flow("", "  ", []string{t.paint(ansi.Yellow, "cannot read "+u.Part+":"), u.Reason}, " ")
	}
	return t.lines
}

func (t *liveTree) run(r live.Run) {
	t.lines = append(t.lines, "")
	facts := []string{t.phase(r.Phase), t.bold(r.ID)}
	if r.Stage != "" && !r.Dev {
		facts = append(facts, r.Stage)
	}
	if r.Progress != nil {
		facts = append(facts, fmt.Sprintf("%.0f %%", float64(*r.Progress)))
	}
	if r.Step > 0 {
		facts = append(facts, fmt.Sprintf("step %d", r.Step))
	}
	for _, m := range r.Metrics[:min(len(r.Metrics), 3)] {
		facts = append(facts, fmt.Sprintf("%s %.4g", m.Name, float64(m.Last)))
	}
	if len(r.Metrics) > 0 {
		if s := spark(r.Metrics[0].Values, sparkCells); s != "" {
			facts = append(facts, t.paint(ansi.Cyan, s))
		}
	}
	if left := r.ETA; left != nil && !r.Done {
		facts = append(facts, "about "+duration.HumanDuration(left.Sub(t.now))+" left")
	}
	switch {
	case r.Done && !r.Started.IsZero() && !r.Finished.IsZero():
		facts = append(facts, "took "+duration.HumanDuration(r.Finished.Sub(r.Started)))
	case !r.Done && !r.Started.IsZero():
		facts = append(facts, "for "+duration.HumanDuration(t.now.Sub(r.Started)))
	}
	if r.Generation > 0 {
		facts = append(facts, fmt.Sprintf("gen %d", r.Generation))
	}
	if len(r.Ranks) < r.Wanted && !r.Done {
		facts = append(facts, fmt.Sprintf("%d of %d ranks", len(r.Ranks), r.Wanted))
	}
	t.flow("", "    ", facts, "  ")
	if r.Reason != "" {
		t.flow("    ", "    ", strings.Fields(r.Reason), " ")
	}
	if r.Done && r.Phase == string(run.Lost) {
		return
	}
	for i, rank := range r.Ranks {
		t.rank(rank, r.Metric, i == len(r.Ranks)-1)
	}
}

func (t *liveTree) rank(r live.Rank, metric string, last bool) {
	head, below := "├ ", "│   "
	if last {
		head, below = "└ ", "    "
	}
	name := r.Pod
	if r.Index >= 0 {
		name = fmt.Sprintf("rank %d", r.Index)
	}
	facts := []string{t.phase(r.Phase), name}
	if r.Trouble != "" {
		facts = append(facts, t.paint(ansi.Red, r.Trouble))
	}
	if r.Step > 0 {
		facts = append(facts, fmt.Sprintf("step %d", r.Step))
	}
	if r.Value != nil {
		facts = append(facts, fmt.Sprintf("%s %.4g", metric, float64(*r.Value)))
	}
	if r.Generation > 0 {
		facts = append(facts, fmt.Sprintf("gen %d", r.Generation))
	}
	if g := gpusOf(r); g != "" {
		if r.Faulty {
			g = t.paint(ansi.Red, g+" broken")
		}
		facts = append(facts, g)
	}
	if r.Restarts > 0 {
		facts = append(facts, t.paint(ansi.Yellow, plural(r.Restarts, "restart")))
	}
	if r.Node != "" {
		facts = append(facts, "on "+r.Node)
	}
	t.flow(head, below, facts, "  ")
}

// gpusOf names the GPUs of a rank: by index where that is known.
func gpusOf(r live.Rank) string {
	switch {
	case len(r.Devices) > 0:
		return "GPU " + strings.Trim(strings.ReplaceAll(fmt.Sprint(r.Devices), " ", ","), "[]")
	case r.GPUs > 0:
		return plural(int(r.GPUs), "GPU")
	}
	return ""
}

func (t *liveTree) node(n live.Node) {
	held := 0
	facts := []string{n.Name}
	for _, g := range n.GPUs {
		if len(g.Holders) > 0 {
			held++
		}
	}
	words := fmt.Sprintf("%d of %d GPUs healthy", n.Allocatable, n.Capacity)
	if n.Allocatable < n.Capacity {
		words = t.paint(ansi.Red, words)
	}
	if facts = append(facts, words); len(n.GPUs) > 0 {
		facts = append(facts, fmt.Sprintf("%d held", held))
	}
	for _, g := range n.GPUs {
		if g.Fault != "" {
			facts = append(facts, t.paint(ansi.Red, fmt.Sprintf("GPU %d: %s", g.Index, g.Fault)))
		}
	}
	t.flow("", "    ", facts, "  ")
}

// flow writes facts in as many lines as they need. One that is longer than a
// line is wrapped, by words.
func (t *liveTree) flow(head, below string, facts []string, between string) {
	line, empty := head, true
	for _, fact := range facts {
		fact = strings.ReplaceAll(fact, "\n", " ")
		if !empty && ansi.StringWidth(line)+ansi.StringWidth(between)+ansi.StringWidth(fact) <= t.width {
			line += between + fact
			continue
		}
		if !empty {
			t.lines, line = append(t.lines, line), below
		}
		parts := strings.Split(ansi.Wrap(fact, max(t.width-ansi.StringWidth(below), 8), ""), "\n")
		for i, part := range parts {
			if i > 0 {
				t.lines, line = append(t.lines, line), below
			}
			line += part
		}
		empty = false
	}
	t.lines = append(t.lines, line)
}

func (t *liveTree) phase(phase string) string {
	s, ok := states[phase]
	if !ok {
		s.mark, s.color = "○", ansi.Yellow
	}
	return t.paint(s.color, s.mark+" "+phase)
}

func (t *liveTree) paint(color ansi.BasicColor, s string) string {
	if !t.color {
		return s
	}
	return ansi.Style{}.ForegroundColor(color).Styled(s)
}

func (t *liveTree) bold(s string) string {
	if !t.color {
		return s
	}
	return ansi.Style{}.Bold().Styled(s)
}

// spark draws values as a row of blocks, each the mean of those that it stands
// for; NaN and infinite ones leave a gap. "" for fewer than two.
func spark(values []run.Number, cells int) string {
	if len(values) < 2 {
		return ""
	}
	cells = min(cells, len(values))
	means := make([]float64, cells)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range cells {
		sum, n := 0.0, 0.0
		for _, v := range values[i*len(values)/cells : (i+1)*len(values)/cells] {
			if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
				sum, n = sum+f, n+1
			}
		}
		means[i] = sum / n // NaN where there is none
		if n > 0 {
			low, high = min(low, means[i]), max(high, means[i])
		}
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	var out strings.Builder
	for _, m := range means {
		switch {
		case math.IsNaN(m):
			out.WriteByte(' ')
		case high == low:
			out.WriteRune(blocks[0])
		default:
			out.WriteRune(blocks[int((m-low)/(high-low)*float64(len(blocks)-1)+0.5)])
		}
	}
	return out.String()
}
