package proof

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// raw speaks with an agent message by message.
type raw struct {
	t    *testing.T
	in   *wire.Reader
	out  *wire.Writer
	have tree.Index // what the agent holds
	next uint64
}

func rawClient(t *testing.T, pod *reloadtest.Pod, hello wire.Hello) (*raw, wire.Message) {
	t.Helper()
	stream, err := pod.Dial(t.Context())
	must(t, err)
	must(t, stream.(net.Conn).SetDeadline(time.Now().Add(reloadtest.Deadline)))
	t.Cleanup(func() { _ = stream.Close() })
	r := &raw{t: t, in: wire.NewReader(stream), out: wire.NewWriter(stream), next: 1}
	r.send(&hello)
	return r, r.read()
}

func newRaw(t *testing.T, pod *reloadtest.Pod) *raw {
	t.Helper()
	r, m := rawClient(t, pod, wire.Hello{Min: wire.MinVersion, Max: wire.MaxVersion, Role: wire.Owner, Session: "raw", Owner: "raw"})
	want[*wire.Welcome](t, m)
	return r
}

func (r *raw) send(messages ...wire.Message) {
	r.t.Helper()
	must(r.t, r.out.Send(messages...))
}

func (r *raw) read() wire.Message {
	r.t.Helper()
	m, err := r.in.Read()
	must(r.t, err)
	return m
}

// want returns an answer as the type that it has to be.
func want[M wire.Message](t *testing.T, m wire.Message) M {
	t.Helper()
	got, ok := m.(M)
	if !ok {
		t.Fatalf("answer %v: %+v", m.Type(), m)
	}
	return got
}

// entry makes an entry from "path", content or "-> target".
func entry(p, content string) tree.Entry {
	e := tree.Entry{Path: p, Kind: tree.File}
	if target, ok := strings.CutPrefix(content, "-> "); ok {
		e.Kind, e.Target, content = tree.Link, target, target
	}
	e.Size, e.Sum = int64(len(content)), sha256.Sum256([]byte(content))
	return e
}

// change is what puts and deletes make of what the agent holds, with the
// digest that is right for it. A put without content asks for it.
func (r *raw) change(puts []tree.Entry, contents map[[32]byte]string, deletes ...string) (*wire.Prepare, tree.Index) {
	index := r.have.Apply(tree.Changes{Puts: puts, Deletes: deletes})
	m := &wire.Prepare{Generation: r.next, Root: index.Digest(), Deletes: deletes}
	if r.have != nil {
		m.Base = r.have.Digest()
	}
	for _, e := range puts {
		p := wire.Put{Path: e.Path, Kind: e.Kind, Size: e.Size, Sum: e.Sum, Target: e.Target}
		if text, ok := contents[e.Sum]; ok && e.Kind != tree.Link {
			p.Parts = []wire.Part{{Op: wire.Raw, Size: e.Size, Data: []byte(text)}}
		}
		m.Puts = append(m.Puts, p)
	}
	return m, index
}

// prepare announces a change and returns the answer.
func (r *raw) prepare(puts []tree.Entry, deletes ...string) wire.Message {
	r.t.Helper()
	bySum := map[[32]byte]string{}
	for _, e := range puts {
		bySum[e.Sum] = "mine"
	}
	m, _ := r.change(puts, bySum, deletes...)
	r.send(m)
	r.next++
	return r.read()
}

// deliver brings contents up to RUNNING; it fails when the agent refuses.
func (r *raw) deliver(contents map[string]string, deletes ...string) {
	r.t.Helper()
	var puts []tree.Entry
	bySum := map[[32]byte]string{}
	for p, content := range contents {
		puts = append(puts, entry(p, content))
		bySum[sha256.Sum256([]byte(content))] = content
	}
	slices.SortFunc(puts, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	m, index := r.change(puts, bySum, deletes...)
	r.send(m)
	want[*wire.Staged](r.t, r.read())
	r.send(&wire.Commit{Generation: r.next, Action: wire.Restart})
	want[*wire.Running](r.t, r.read())
	r.have = index
	r.next++
}

// refused fails unless an answer is a refusal for a reason of that type.
func refused[E error](t *testing.T, m wire.Message) {
	t.Helper()
	var reason E
	if err := want[*wire.Refused](t, m).Reason(); !errors.As(err, &reason) {
		t.Errorf("refused with %T (%v)", err, err)
	}
}

func TestNoTreeWritesOutsideOfTheVolume(t *testing.T) {
	outside := t.TempDir()
	save(t, outside, "passwd", "root")
	before, err := reloadtest.Snapshot(outside)
	must(t, err)
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	r := newRaw(t, pod)
	r.deliver(map[string]string{"train.py": "1", "x": "-> " + outside, "y": "-> ../../../../../../../.." + outside, "self": "-> ."})
	for _, c := range []struct {
		name string
		puts []tree.Entry
	}{
		{"a file below a link that is there", []tree.Entry{entry("x/passwd", "mine")}},
		{"a file below a relative link that is there", []tree.Entry{entry("y/passwd", "mine")}},
		{"a link and a file below it at once", []tree.Entry{entry("z", "-> "+outside), entry("z/passwd", "mine")}},
		{"a file below a file", []tree.Entry{entry("train.py/x", "mine")}},
		{"a path that climbs", []tree.Entry{entry("../passwd", "mine")}},
		{"a path that climbs from inside", []tree.Entry{entry("a/../../passwd", "mine")}},
		{"an absolute path", []tree.Entry{entry(outside+"/passwd", "mine")}},
		{"a path with a dot", []tree.Entry{entry("./passwd", "mine")}},
		{"an empty path", []tree.Entry{entry("", "mine")}},
		{"the agent's own folder", []tree.Entry{entry(".kubectl-ai/current", "-> "+outside)}},
		{"a path with a zero byte", []tree.Entry{entry("a\x00b", "mine")}},
		{"one path twice", []tree.Entry{entry("a", "mine"), entry("a", "mine")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused[*wire.TreeError](t, r.prepare(c.puts))
		})
	}
	// A folder where the link was is no way through it.
	r.deliver(map[string]string{"x/passwd": "mine", "y/passwd": "mine"}, "x", "y")
	r.deliver(map[string]string{"x": "-> " + outside}, "x/passwd")
	r.deliver(map[string]string{"x/passwd": "mine", "x/deep/er": "mine"}, "x")
	if sum, err := pod.Sum(); err != nil || sum != r.have.Digest() {
		t.Errorf("the volume holds %s, %v; want %s", sum.Short(), err, r.have.Digest().Short())
	}
	after, err := reloadtest.Snapshot(outside)
	must(t, err)
	if before != after {
		t.Errorf("the folder outside changed:\n%s\n%s", before, after)
	}
}

// What the digest says has to be what is written.
func TestALinkThatIsNotWhatItsSumSaysIsRefused(t *testing.T) {
	r := newRaw(t, reloadtest.StartPod(t, reloadtest.PodOptions{}))
	lie := entry("link", "-> train.py")
	lie.Target = "/etc/passwd"
	refused[*wire.TreeError](t, r.prepare([]tree.Entry{lie}))
}

// An agent says no and listens on.
func TestMessagesOutOfTurnAreRefused(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	r := newRaw(t, pod)
	r.deliver(map[string]string{"train.py": "1"})
	runs, err := pod.Sum()
	must(t, err)
	here, nowhere := r.have.Digest(), tree.Digest{1}
	for _, c := range map[string]struct {
		say wire.Message
		ask bool // it is asked for what is missing, and not refused
	}{
		"COMMIT of nothing":                     {say: &wire.Commit{Generation: 77, Action: wire.Restart}},
		"PREPARE for an old number":             {say: &wire.Prepare{Generation: 1, Root: here, Base: here}},
		"PREPARE with a wrong digest":           {say: &wire.Prepare{Generation: 9, Root: nowhere, Base: here}},
		"PREPARE from a tree that is not there": {say: &wire.Prepare{Generation: 9, Root: here, Base: nowhere}, ask: true},
		"contents again that nobody asked for":  {say: &wire.Prepare{Generation: 8, Root: nowhere, Base: here, Again: true, Puts: []wire.Put{{Path: "train.py", Kind: tree.File, Size: 1, Sum: [32]byte{7}, Parts: []wire.Part{{Op: wire.Raw, Size: 1, Data: []byte("x")}}}}}},
	} {
		r.send(c.say)
		if m := r.read(); c.ask {
			want[*wire.Need](t, m)
		} else {
			want[*wire.Refused](t, m)
		}
		r.send(&wire.Ping{})
		want[*wire.Pong](t, r.read())
	}
	// What makes no sense at all ends the stream, and nothing else.
	r.send(&wire.Hello{Min: wire.MinVersion, Max: wire.MaxVersion, Role: wire.Owner})
	if m, err := r.in.Read(); err == nil {
		t.Errorf("a second HELLO was answered with %v", m.Type())
	}
	if sum, err := pod.Sum(); err != nil || sum != runs {
		t.Errorf("the volume holds %s, %v; what ran was %s", sum.Short(), err, runs.Short())
	}
	again := newRaw(t, pod)
	again.have, again.next = r.have, 100
	again.deliver(map[string]string{"train.py": "2"})
}

func TestAnAgentRefusesAnotherVersion(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	_, m := rawClient(t, pod, wire.Hello{Min: wire.MaxVersion + 1, Max: wire.MaxVersion + 5, Role: wire.Owner, Owner: "from the future"})
	refused[*wire.VersionError](t, m)
	newRaw(t, pod).deliver(map[string]string{"train.py": "1"})
}

// A user has to hear of it: dialling again does not help.
func TestAGangSaysThatAnAgentIsOfAnotherVersion(t *testing.T) {
	said := make(chan error, 10)
	dial := func(context.Context, session.Rank) (io.ReadWriteCloser, error) {
		mine, theirs := net.Pipe()
		go func() {
			if _, err := wire.NewReader(theirs).Read(); err == nil {
				_ = wire.NewWriter(theirs).Send(wire.Refuse(0, &wire.VersionError{AgentMin: 7, AgentMax: 7, Min: 1, Max: 1}))
			}
			_ = theirs.Close()
		}()
		return mine, nil
	}
	g := session.NewGang(dial, "test", session.Events{
		Delivered: func(session.Delivery) { t.Error("a delivery to an agent of another version") },
		Refused:   func(_ *session.Version, err error) { said <- err },
		Lost:      func(_ session.Rank, err error) { said <- err },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := g.Run(ctx); err != nil {
			said <- err
		}
	}()
	defer func() { cancel(); <-ended }()
	g.Add(ctx, session.Rank{ID: "0", Name: "pod-0/main"})
	select {
	case err := <-said:
		if !strings.Contains(err.Error(), "versions 7") {
			t.Errorf("it said: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody hears that the agent is of another version")
	}
}
