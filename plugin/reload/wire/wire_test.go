package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

var update = flag.Bool("update", false, "write testdata/v3.golden")

func sum(b byte) (s [32]byte) {
	for i := range s {
		s[i] = b
	}
	return s
}

func at(ns int64) time.Time { return time.Unix(1_700_000_000, ns).UTC() }

// one returns a message of each type with every field set.
func one() []wire.Message {
	receipt := wire.Receipt{
		Generation: 7, TreeDigest: tree.Digest(sum(1)), Process: wire.Signalled, Started: 5, StartedDigest: tree.Digest(sum(4)), Run: "7-ab", Pod: "digits-0-x", PodUID: "u-1", Container: "main", Rank: 0, PID: 42,
		CWD: "/app/.kubectl-ai/gen/7", ArgvDigest: tree.Digest(sum(2)), Received: at(1), Staged: at(2), Committed: at(3), Running: at(4),
	}
	return []wire.Message{
		&wire.Hello{Min: 1, Max: 3, Role: wire.Owner, Session: "s", Owner: "me@here"},
		&wire.Welcome{Version: 3, Pod: "p", PodUID: "u", Container: "c", Generation: 7, Digest: tree.Digest(sum(3)), Receipt: &receipt},
		&wire.Prepare{
			Generation: 8, Base: tree.Digest(sum(3)), Root: tree.Digest(sum(5)), More: true, Again: true, Alone: true, Deletes: []string{"old.py", "a/b"},
			Puts: []wire.Put{
				{Path: "train.py", Kind: tree.File, Size: 300, Sum: sum(6), Base: sum(7), Offset: 1, Parts: []wire.Part{
					{Op: wire.Copy, Size: 200}, {Op: wire.Dict, Size: 90, Offset: 3, Extent: 200, Data: []byte("zz")}, {Op: wire.Raw, Size: 10, Data: []byte("0123456789")},
				}},
				{Path: "l", Kind: tree.Link, Size: 3, Sum: sum(8), Target: "a/b"},
				{Path: "x", Kind: tree.Executable, Size: 3, Sum: sum(8), Have: true},
			},
		},
		&wire.Staged{Generation: 8, Digest: tree.Digest(sum(5))},
		&wire.Need{Generation: 8, Sums: [][32]byte{sum(6), sum(7)}},
		&wire.Refused{Generation: 8, Code: "no-space", Fields: map[string]string{"path": "/app", "need": "1", "free": "0"}},
		&wire.Commit{Generation: 8, Action: wire.Signal, Signals: []string{"HUP", "USR1"}, Run: "8-cd", Pipelined: true},
		&wire.Running{Receipt: receipt},
		&wire.Exited{Generation: 7, PID: 42, Code: 137, Message: "killed"},
		&wire.Notice{Text: "n"},
		&wire.Verify{},
		&wire.Verified{Generation: 8, Digest: tree.Digest(sum(9)), Total: 2, Differences: []wire.Difference{{Path: "train.py", What: "changed"}}},
		&wire.Ping{},
		&wire.Pong{},
	}
}

func stream(t testing.TB, messages ...wire.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := wire.NewWriter(&b).Send(messages...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(r io.Reader) (out []wire.Message, err error) {
	in := wire.NewReader(r)
	for {
		m, err := in.Read()
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
}

func TestEveryMessageComesBackAsItWas(t *testing.T) {
	messages := one()
	if len(messages) != int(wire.TypePong) {
		t.Fatalf("%d messages for %d types", len(messages), wire.TypePong)
	}
	got, err := readAll(iotest.OneByteReader(bytes.NewReader(stream(t, messages...))))
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if d := cmp.Diff(messages, got); d != "" {
		t.Error(d)
	}
}

// TestBytesOfVersion3 freezes the format: what a released agent says must be
// understood for ever.
func TestBytesOfVersion3(t *testing.T) {
	var b strings.Builder
	for _, m := range one() {
		b.WriteString(m.Type().String() + " " + hex.EncodeToString(wire.Frame(m)) + "\n")
	}
	const golden = "testdata/v3.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

func TestAStreamCutAtAnyByte(t *testing.T) {
	whole := stream(t, one()...)
	for n := range whole {
		got, err := readAll(bytes.NewReader(whole[:n]))
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if d := cmp.Diff(one()[:len(got)], got); len(got) > 0 && d != "" {
			t.Fatalf("cut at %d: %s", n, d)
		}
	}
}

func TestWhatAWrapperPrintsFirstIsSkipped(t *testing.T) {
	noise := "Defaulted container \"main\"\n\x00kubectl-ai\x00\x00kubectl-ai reloa"
	got, err := readAll(io.MultiReader(strings.NewReader(noise), bytes.NewReader(stream(t, &wire.Ping{}))))
	if !errors.Is(err, io.EOF) || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := readAll(strings.NewReader(strings.Repeat("no such thing\n", 10_000))); !errors.Is(err, wire.ErrNoMagic) {
		t.Errorf("endless noise: %v", err)
	}
}

func TestLengthsAreCheckedBeforeMemoryIsTaken(t *testing.T) {
	for name, frame := range map[string]string{
		"no length":              "\x00\x00\x00\x00",
		"a frame of 4 GB":        "\xff\xff\xff\xff",
		"a text longer than it":  "\x00\x00\x00\x05\x01\x01\x01\x01\x7f",
		"a list longer than it":  "\x00\x00\x00\x04\x05\x08\xff\x7f",
		"an unknown type":        "\x00\x00\x00\x01\x63",
		"bytes after the end":    "\x00\x00\x00\x02\x0d\x00",
		"a number in long form":  "\x00\x00\x00\x03\x05\x80\x00",
		"a flag that is neither": "\x00\x00\x00\x06\x07\x08\x03\x00\x00\x02",
		"an action that is none": "\x00\x00\x00\x06\x07\x08\x04\x00\x00\x00",
		"a role that is neither": "\x00\x00\x00\x06\x01\x01\x01\x09\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(strings.NewReader(wire.Magic + frame))
			if !errors.Is(err, wire.ErrCorrupt) {
				t.Errorf("err = %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestAnAgentsErrorIsTheSameTypeOnTheLaptop(t *testing.T) {
	for _, want := range []error{
		&wire.BusyError{Owner: "me@laptop pid 1"},
		&wire.VersionError{AgentMin: 1, AgentMax: 2, Min: 3, Max: 4},
		&wire.NoSpaceError{Path: "/app", Need: 21 << 20, Free: 3 << 20},
		&wire.TreeError{Path: "../x", Reason: "is outside"},
		&wire.NotStagedError{Generation: 4},
		&wire.OrderError{Generation: 4, Highest: 5},
		&wire.SyntaxError{Text: "train.py:3: invalid syntax"},
		&wire.AgentError{Text: "anything"},
	} {
		sent := stream(t, wire.Refuse(3, errors.Join(errors.New("around"), want)))
		if e, ok := want.(*wire.AgentError); ok { //nolint:errorlint // the table gives it bare
			sent = stream(t, wire.Refuse(3, e))
		}
		got, _ := readAll(bytes.NewReader(sent))
		if d := cmp.Diff(want, got[0].(*wire.Refused).Reason()); d != "" {
			t.Error(d)
		}
	}
}

func TestReceiptJSON(t *testing.T) {
	want := one()[7].(*wire.Running).Receipt
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"apiVersion", "kind", "generation", "treeDigest", "process", "startedGeneration", "startedDigest", "pod", "podUID", "container", "rank", "pid", "cwd", "argvDigest", "state", "received", "staged", "committed", "running"} {
		if _, ok := fields[f]; !ok {
			t.Errorf("no field %q in %s", f, raw)
		}
	}
	if fields["kind"] != "Receipt" || fields["treeDigest"] != want.TreeDigest.String() {
		t.Errorf("%s", raw)
	}
	var back wire.Receipt
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, back); d != "" {
		t.Error(d)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range one() {
		f.Add(wire.Frame(m)[4:])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > wire.MaxFrame {
			return
		}
		m, err := wire.Decode(bytes.Clone(frame))
		if err != nil {
			if !errors.Is(err, wire.ErrCorrupt) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		// Canonical: what was read is written the same.
		if again := wire.Frame(m)[4:]; !bytes.Equal(again, frame) {
			t.Fatalf("%v\n read %x\nwrote %x", reflect.TypeOf(m), frame, again)
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add(stream(f, one()...))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = readAll(bytes.NewReader(raw)) })
}
