package logs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
)

// Printer writes lines: with their rank in front (""), alone (raw), or as JSON.
type Printer struct {
	To     io.Writer
	Output string
	Color  bool
}

// colors tell neighbours apart. Red is that of trouble, and no rank's.
var colors = []ansi.BasicColor{ansi.Cyan, ansi.Green, ansi.Magenta, ansi.Yellow, ansi.Blue, ansi.BrightCyan, ansi.BrightGreen, ansi.BrightMagenta}

// Print writes a line.
func (p Printer) Print(l Line) error {
	switch p.Output {
	case "raw":
		_, err := fmt.Fprintln(p.To, l.Text)
		return err
	case "json":
		encoder := json.NewEncoder(p.To)
		encoder.SetEscapeHTML(false) // a line is to be found as it was said
		return encoder.Encode(l)
	}
	prefix := "[" + observe.Rank{Pod: l.Pod, Container: l.Container, Index: l.Rank}.Label() + "]"
	if p.Color {
		prefix = ansi.Style{}.ForegroundColor(colors[max(l.Rank, 0)%len(colors)]).Styled(prefix)
	}
	_, err := fmt.Fprintf(p.To, "%s %s\n", prefix, l.Text)
	return err
}

// together is how long lines that come live wait for those of other ranks that
// were said before. Chosen: a line takes some 10 ms from a container to here.
const together = 100 * time.Millisecond

// InOrder delivers lines that come from several ranks at once in the order of
// time, as far as they come within a short time of each other, until the
// channel is closed or deliver returns an error, which ends the reading: stop
// is called then, and the channel drained.
func InOrder(lines <-chan Line, stop context.CancelCauseFunc, deliver func(Line) error) error {
	var batch []Line
	var failed error
	var due <-chan time.Time
	flush := func() {
		slices.SortStableFunc(batch, byTime)
		for _, l := range batch {
			if failed == nil {
				if failed = deliver(l); failed != nil {
					stop(failed)
				}
			}
		}
		batch, due = batch[:0], nil
	}
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				flush()
				return failed
			}
			if batch = append(batch, l); due == nil {
				due = time.After(together)
			}
			if len(batch) == cap(lines) {
				flush()
			}
		case <-due:
			flush()
		}
	}
}

func byTime(a, b Line) int { return cmp.Or(a.Time.Compare(b.Time), a.Rank-b.Rank) }
