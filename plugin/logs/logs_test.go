package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/logs"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
)

// node is a cluster's logs: of every container what each of its connections
// brings, in turn. A connection that is one too many is an error.
type node struct {
	mu      sync.Mutex
	refused []error // the first are not even opened
	parts   map[string][]io.Reader
	since   map[string][]time.Time // as it was asked
}

func (n *node) Open(_ context.Context, c logs.Container, since time.Time, _ bool) (io.ReadCloser, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := fmt.Sprint(c.Index, "/", c.Restart)
	if n.since == nil {
		n.since = map[string][]time.Time{}
	}
	n.since[key] = append(n.since[key], since)
	if len(n.refused) > 0 {
		err := n.refused[0]
		n.refused = n.refused[1:]
		return nil, err
	}
	if len(n.parts[key]) == 0 {
		return nil, fmt.Errorf("rank %s is not there", key)
	}
	part := n.parts[key][0]
	n.parts[key] = n.parts[key][1:]
	return io.NopCloser(part), nil
}

var errCut = errors.New("connection reset by peer")

// dies is a stream that breaks after its text.
func dies(text string) io.Reader {
	return io.MultiReader(strings.NewReader(text), iotestErr{})
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errCut }

func at(second int) time.Time { return time.Date(2026, 11, 2, 3, 4, second, 5000, time.UTC) }

// say is a log: seconds and words in turn.
func say(what ...any) string {
	var b strings.Builder
	for i := 0; i < len(what); i += 2 {
		fmt.Fprintf(&b, "%s %s\n", at(what[i].(int)).Format(time.RFC3339Nano), what[i+1])
	}
	return b.String()
}

func rank(index int) logs.Container {
	return logs.Container{Run: "k7x2mq", Started: at(0), Ended: true, Rank: observe.Rank{Index: index, Pod: fmt.Sprint("train-", index), PodUID: fmt.Sprint("uid-", index), Container: "main"}}
}

func line(index, second int, text string) logs.Line {
	return logs.Line{Time: at(second), Run: "k7x2mq", Rank: index, Pod: fmt.Sprint("train-", index), PodUID: fmt.Sprint("uid-", index), Container: "main", Text: text}
}

// past reads all, and returns it as people see it.
func past(t *testing.T, r logs.Reading, kept []logs.Line, containers ...logs.Container) (string, []logs.Missing, error) {
	t.Helper()
	var out bytes.Buffer
	_, missing, err := r.Past(t.Context(), kept, containers, logs.Printer{To: &out}.Print)
	return out.String(), missing, err
}

func TestRanksAreReadInTheOrderOfTime(t *testing.T) {
	n := &node{parts: map[string][]io.Reader{
		"0/0": {strings.NewReader(say(1, "one", 3, "three", 5, "five"))},
		"1/0": {strings.NewReader(say(2, "two", 4, "four"))},
	}}
	got, missing, err := past(t, logs.Reading{Open: n}, nil, rank(0), rank(1))
	want := "[rank 0] one\n[rank 1] two\n[rank 0] three\n[rank 1] four\n[rank 0] five\n"
	if d := cmp.Diff(want, got); d != "" || err != nil || missing != nil {
		t.Errorf("%s %v %v", d, missing, err)
	}
}

func TestALogThatDiesInTheMiddleIsReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{parts: map[string][]io.Reader{"0/0": {
			dies(say(1, "one", 2, "two") + "2026-11-02T03:04:03.000005Z half a li"),
			dies(""), // and again, without a line
			strings.NewReader(say(2, "two", 3, "half a line", 4, "four")),
		}}}
		got, _, err := past(t, logs.Reading{Open: n}, nil, rank(0))
		if want := "[rank 0] one\n[rank 0] two\n[rank 0] half a line\n[rank 0] four\n"; got != want || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if d := cmp.Diff([]time.Time{{}, at(2), at(2)}, n.since["0/0"]); d != "" {
			t.Error(d)
		}
	})
}

// refusals of a log, as the server and the node word them.
var (
	logs404   = apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{Resource: "pods/log"}, "train-0", "", 0, false)
	logs400   = apierrors.NewBadRequest("container main in pod train-0 is not available")
	logs500   = apierrors.NewInternalError(errors.New("dial tcp 172.18.0.3:10250: connect: connection refused"))
	podGone   = apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "train-0")
	forbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "train-0", errors.New("no"))
)

func TestALogThatDoesNotOpenYetIsOpenedAgain(t *testing.T) {
	for _, follow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := &node{
				refused: []error{logs404, logs400, logs500},
				parts:   map[string][]io.Reader{"0/0": {strings.NewReader(say(1, "one"))}},
			}
			if !follow {
				if got, _, err := past(t, logs.Reading{Open: n}, nil, rank(0)); got != "[rank 0] one\n" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			var heard []string
			f := &logs.Follower{Open: n, Heard: func(l logs.Line) { heard = append(heard, l.Text) }}
			if err := f.Finish(t.Context(), []logs.Container{rank(0)}); err != nil || len(heard) != 1 {
				t.Errorf("%q, %v", heard, err)
			}
		})
	}
}

func TestWhatIsNotOpenedAgain(t *testing.T) {
	previous := rank(0)
	previous.Previous = true
	for _, c := range []struct {
		name string
		err  error
		of   logs.Container
		want error
	}{
		{"a pod that is gone", podGone, rank(0), podGone},
		{"a log that may not be read", forbidden, rank(0), forbidden},
		{"what was before a restart and is not kept", logs400, previous, nil},
	} {
		n := &node{refused: []error{c.err}}
		_, _, err := past(t, logs.Reading{Open: n}, nil, c.of)
		if !errors.Is(err, c.want) || len(n.since["0/0"]) != 1 {
			t.Errorf("%s: %v after %d attempts", c.name, err, len(n.since["0/0"]))
		}
	}
}

func TestALogThatKeepsDyingIsTakenFromTheCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{parts: map[string][]io.Reader{
			"0/0": {dies(say(2, "two")), dies(""), dies(""), dies(""), dies(""), dies("")},
			"1/0": {strings.NewReader(say(4, "four"))},
		}}
		kept := []logs.Line{line(0, 1, "one"), line(0, 2, "two"), line(0, 3, "three"), line(0, 5, "five")}
		got, _, err := past(t, logs.Reading{Open: n}, kept, rank(0), rank(1))
		want := "[rank 0] one\n[rank 0] two\n[rank 0] three\n[rank 1] four\n[rank 0] five\n"
		if d := cmp.Diff(want, got); d != "" || !errors.Is(err, errCut) {
			t.Errorf("%s, %v", d, err)
		}
	})
}

func TestPodsThatAreGoneSpeakFromTheCopy(t *testing.T) {
	n := &node{parts: map[string][]io.Reader{"1/0": {strings.NewReader(say(2, "two", 4, "four"))}}}
	kept := []logs.Line{line(0, 1, "one"), line(1, 2, "two"), line(0, 3, "three")}
	got, missing, err := past(t, logs.Reading{Open: n}, kept, rank(1))
	want := "[rank 0] one\n[rank 1] two\n[rank 0] three\n[rank 1] four\n"
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	if d := cmp.Diff([]logs.Missing{{Rank: 0, Pod: "train-0", Until: at(3)}}, missing); d != "" {
		t.Error(d)
	}
}

func TestAClockThatJumpsBackLosesNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{parts: map[string][]io.Reader{"0/0": {
			dies(say(50, "before", 10, "after the jump", 11, "later")),
			strings.NewReader(say(50, "before", 11, "later", 12, "on", 9, "and back again")),
		}}}
		copies := logs.OpenCopies(t.TempDir() + "/a")
		keep := func(l logs.Line) {
			if err := copies.Add(l); err != nil {
				t.Error(err)
			}
		}
		_, _, err := past(t, logs.Reading{Open: n, Keep: keep}, nil, rank(0))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := copies.Read("k7x2mq")
		got, _, pastErr := past(t, logs.Reading{}, kept)
		// The one before the jump came twice: its time is later than that of the
		// line from which on the log was asked for.
		want := "[rank 0] before\n[rank 0] after the jump\n[rank 0] later\n[rank 0] before\n[rank 0] later\n[rank 0] on\n[rank 0] and back again\n"
		if d := cmp.Diff(want, got); d != "" || err != nil || pastErr != nil {
			t.Errorf("%s, %v, %v", d, err, pastErr)
		}
	})
}

func TestWhatIsSelected(t *testing.T) {
	restarted := rank(1)
	restarted.Restart, restarted.Started, restarted.Ended = 1, at(4), false
	before := rank(1)
	before.Previous = true
	for _, c := range []struct {
		name string
		s    logs.Selection
		want string
	}{
		{"all, before and after the restart", logs.Selection{}, "0:a 1:x 0:b 1:y 0:c 1:z"},
		{"a rank", logs.Selection{Ranks: []int{1}}, "1:x 1:y 1:z"},
		{"the last line of each rank", logs.Selection{Tail: 1}, "0:c 1:z"},
		{"two of them", logs.Selection{Tail: 2}, "0:b 1:y 0:c 1:z"},
		{"since", logs.Selection{Since: at(3)}, "0:b 1:y 0:c 1:z"},
		{"what was said before the restart", logs.Selection{Previous: true}, "1:x 1:y"},
		{"of a rank that was not restarted", logs.Selection{Previous: true, Ranks: []int{0}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &node{parts: map[string][]io.Reader{
				"0/0": {strings.NewReader(say(1, "a", 3, "b", 5, "c"))},
				"1/0": {strings.NewReader(say(2, "x", 4, "y"))},
				"1/1": {strings.NewReader(say(6, "z"))},
			}}
			var got []string
			_, _, err := (&logs.Reading{Open: n, Selection: c.s}).Past(t.Context(), nil, []logs.Container{rank(0), before, restarted}, func(l logs.Line) error {
				got = append(got, fmt.Sprint(l.Rank, ":", l.Text))
				return nil
			})
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" || err != nil {
				t.Errorf("%s, %v", d, err)
			}
		})
	}
}

func TestAPodThatWasReplacedIsThePreviousOne(t *testing.T) {
	again := rank(0)
	again.Pod, again.PodUID, again.Started = "train-0-b", "uid-b", at(9)
	n := &node{parts: map[string][]io.Reader{"0/0": {strings.NewReader(say(9, "anew"))}}}
	kept := []logs.Line{line(0, 1, "the pod before")}
	if !logs.Restarted(kept, []logs.Container{again}) || logs.Restarted(kept, nil) {
		t.Error("whether it was restarted is not known")
	}
	got, _, err := past(t, logs.Reading{Open: n, Selection: logs.Selection{Previous: true}}, kept, again)
	if got != "[rank 0] the pod before\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAFollowerHearsWhatWasCutAndNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := rank(0)
		runs.Ended = false
		n := &node{parts: map[string][]io.Reader{"0/0": {
			strings.NewReader(say(1, "known", 2, "two")),     // cut off, though cleanly
			dies(say(2, "two", 3, "three")),                  // cut off
			strings.NewReader(say(3, "three", 4, "four")),    // the container ends meanwhile
			strings.NewReader(say(4, "four", 5, "the last")), // it is known to have ended
		}}}
		var mu sync.Mutex
		var heard []string
		f := &logs.Follower{Open: n, Heard: func(l logs.Line) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, l.Text)
		}}
		f.Known(line(0, 1, "known"))
		f.Listen(t.Context(), []logs.Container{runs})
		synctest.Wait()
		f.Listen(t.Context(), []logs.Container{runs})
		if err := f.Finish(t.Context(), []logs.Container{rank(0)}); err != nil {
			t.Error(err)
		}
		f.Listen(t.Context(), []logs.Container{rank(0)}) // it is whole: nothing is opened
		if d := cmp.Diff([]string{"two", "three", "four", "the last"}, heard); d != "" {
			t.Error(d)
		}
	})
}

func TestAPodThatIsDeletedBeforeItIsHeardIsNoError(t *testing.T) {
	n := &node{refused: []error{podGone}}
	f := &logs.Follower{Open: n, Heard: func(l logs.Line) { t.Errorf("heard %s", l.Text) }}
	if err := f.Finish(t.Context(), []logs.Container{rank(0)}); err != nil {
		t.Error(err)
	}
	f.Listen(t.Context(), []logs.Container{rank(0)}) // nothing is opened again
	if err := f.Finish(t.Context(), nil); err != nil || len(n.since["0/0"]) != 1 {
		t.Errorf("%v after %d attempts", err, len(n.since["0/0"]))
	}
}

func TestLiveLinesAreOrderedWithinAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := make(chan logs.Line, 8)
		go func() {
			lines <- line(1, 2, "b")
			lines <- line(0, 1, "a")
			time.Sleep(time.Second)
			lines <- line(0, 4, "d")
			lines <- line(1, 3, "c")
			close(lines)
		}()
		var out bytes.Buffer
		if err := logs.InOrder(lines, nil, logs.Printer{To: &out, Output: "raw"}.Print); err != nil || out.String() != "a\nb\nc\nd\n" {
			t.Errorf("%q, %v", out.String(), err)
		}
	})
}

func TestAReaderThatIsGoneStopsTheRanks(t *testing.T) {
	lines := make(chan logs.Line)
	ctx, stop := context.WithCancelCause(t.Context())
	go func() {
		defer close(lines)
		for ctx.Err() == nil {
			lines <- line(0, 1, "more")
		}
	}()
	gone := errors.New("broken pipe")
	err := logs.InOrder(lines, stop, func(logs.Line) error { return gone })
	if !errors.Is(err, gone) || !errors.Is(context.Cause(ctx), gone) {
		t.Errorf("%v, %v", err, context.Cause(ctx))
	}
}

func TestHowLinesLook(t *testing.T) {
	l := line(1, 2, "loss 0.5 <nan>")
	for output, want := range map[string]string{
		"":     "[rank 1] loss 0.5 <nan>\n",
		"raw":  "loss 0.5 <nan>\n",
		"json": `{"time":"2026-11-02T03:04:02.000005Z","run":"k7x2mq","rank":1,"pod":"train-1","container":"main","line":"loss 0.5 <nan>"}` + "\n",
	} {
		var out bytes.Buffer
		if err := (logs.Printer{To: &out, Output: output}).Print(l); err != nil || out.String() != want {
			t.Errorf("-o %q: %q, %v", output, out.String(), err)
		}
	}
	var out bytes.Buffer
	_ = logs.Printer{To: &out, Color: true}.Print(l)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[") || !strings.Contains(got, "[rank 1]\x1b[") || !strings.HasSuffix(got, " loss 0.5 <nan>\n") {
		t.Errorf("%q", got)
	}
}
