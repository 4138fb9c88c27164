package proof

import (
	"context"
	"crypto/sha256"
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

// raw speaks with an agent frame by frame.
type raw struct {
	t    *testing.T
	conn *wire.Conn
	have tree.Index // what the agent holds
	next uint64
}

func rawClient(t *testing.T, pod *reloadtest.Pod, hello wire.Hello) (*raw, wire.Frame) {
	t.Helper()
	stream, err := pod.Dial(t.Context())
	must(t, err)
	must(t, stream.(net.Conn).SetDeadline(time.Now().Add(reloadtest.Deadline)))
	t.Cleanup(func() { _ = stream.Close() })
	r := &raw{t: t, conn: wire.NewConn(stream), next: 1}
	must(t, r.conn.Write(wire.TypeHello, hello))
	must(t, r.conn.Accept())
	return r, r.read()
}

func newRaw(t *testing.T, pod *reloadtest.Pod) *raw {
	t.Helper()
	r, f := rawClient(t, pod, wire.Hello{MinVersion: 1, Version: wire.Version, Client: "raw"})
	if f.Type != wire.TypeHello {
		t.Fatalf("HELLO was answered with type %d: %s", f.Type, f.Payload)
	}
	return r
}

func (r *raw) read() wire.Frame {
	r.t.Helper()
	f, err := r.conn.Read()
	must(r.t, err)
	return f
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

// prepare announces what puts and deletes make of what the agent holds, with
// the digest that is right for it.
func (r *raw) prepare(puts []tree.Entry, deletes ...string) (wire.Frame, tree.Index) {
	r.t.Helper()
	index := r.have.Apply(tree.Changes{Puts: puts, Deletes: deletes})
	m := wire.Prepare{Generation: r.next, Root: index.Digest(), Puts: puts, Deletes: deletes}
	if r.have != nil {
		m.Base = r.have.Digest()
	}
	must(r.t, r.conn.Write(wire.TypePrepare, m))
	return r.read(), index
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
	f, index := r.prepare(puts, deletes...)
	var need wire.Need
	r.want(f, wire.TypeNeed, &need)
	for _, sum := range need.Sums {
		must(r.t, r.conn.QueueContent(wire.Content{Sum: sum, Bytes: []byte(bySum[sum])}))
	}
	must(r.t, r.conn.Write(wire.TypeStage, nil))
	r.want(r.read(), wire.TypeStaged, nil)
	must(r.t, r.conn.Write(wire.TypeCommit, wire.Commit{Generation: r.next}))
	r.want(r.read(), wire.TypeRunning, nil)
	r.have = index
	r.next++
}

func (r *raw) want(f wire.Frame, want wire.Type, into any) {
	r.t.Helper()
	if f.Type != want {
		r.t.Fatalf("answer of type %d, want %d: %.200s", f.Type, want, f.Payload)
	}
	if into != nil {
		must(r.t, f.Decode(into))
	}
}

// refused fails unless an answer is a refusal with that code.
func (r *raw) refused(f wire.Frame, code string) {
	r.t.Helper()
	var no wire.Refused
	r.want(f, wire.TypeRefused, &no)
	if no.Code != code {
		r.t.Errorf("refused with %q (%s), want %q", no.Code, no.Message, code)
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
		{"one path twice", []tree.Entry{entry("a", "1"), entry("a", "2")}},
		{"an unknown kind", []tree.Entry{{Path: "a", Kind: 9}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, _ := r.prepare(c.puts)
			r.refused(f, wire.CodeInvalid)
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
	f, _ := r.prepare([]tree.Entry{lie})
	r.refused(f, wire.CodeInvalid)
}

// An agent says no and listens on.
func TestMessagesOutOfTurnAreRefused(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	r := newRaw(t, pod)
	r.deliver(map[string]string{"train.py": "1"})
	runs, err := pod.Sum()
	must(t, err)
	send := func(write func() error) wire.Frame {
		t.Helper()
		must(t, write())
		return r.read()
	}
	for name, write := range map[string]func() error{
		"STAGE of nothing":          func() error { return r.conn.Write(wire.TypeStage, nil) },
		"COMMIT of nothing":         func() error { return r.conn.Write(wire.TypeCommit, wire.Commit{Generation: 77}) },
		"COMMIT without a number":   func() error { return r.conn.Write(wire.TypeCommit, "none") },
		"PREPARE that is no object": func() error { return r.conn.Write(wire.TypePrepare, []int{1}) },
		"a frame of no known type":  func() error { return r.conn.Write(99, nil) },
		"a second HELLO":            func() error { return r.conn.Write(wire.TypeHello, wire.Hello{}) },
		"PREPARE for an old number": func() error {
			return r.conn.Write(wire.TypePrepare, wire.Prepare{Generation: 1, Root: r.have.Digest(), Base: r.have.Digest()})
		},
		"PREPARE with a wrong digest": func() error {
			return r.conn.Write(wire.TypePrepare, wire.Prepare{Generation: 9, Root: tree.Digest{1}, Base: r.have.Digest()})
		},
		"PREPARE from a tree that is not there": func() error {
			return r.conn.Write(wire.TypePrepare, wire.Prepare{Generation: 9, Root: r.have.Digest(), Base: tree.Digest{1}})
		},
		"content that nobody asked for": func() error {
			if err := r.conn.QueueContent(wire.Content{Sum: sha256.Sum256([]byte("x")), Bytes: []byte("x")}); err != nil {
				return err
			}
			return r.conn.Write(wire.TypeStage, nil)
		},
	} {
		if f := send(write); f.Type != wire.TypeRefused {
			t.Errorf("%s: answer of type %d", name, f.Type)
		}
		if name == "content that nobody asked for" {
			r.read() // the answer to STAGE
		}
		if f := send(func() error { return r.conn.Write(wire.TypePing, nil) }); f.Type != wire.TypePong {
			t.Fatalf("after %s: PING was answered with type %d: %s", name, f.Type, f.Payload)
		}
	}
	if sum, err := pod.Sum(); err != nil || sum != runs {
		t.Errorf("the volume holds %s, %v; what ran was %s", sum.Short(), err, runs.Short())
	}
	r.next = 100
	r.deliver(map[string]string{"train.py": "2"})
}

func TestAnAgentRefusesAnotherVersion(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	r, f := rawClient(t, pod, wire.Hello{MinVersion: wire.Version + 1, Version: wire.Version + 5, Client: "from the future"})
	r.refused(f, wire.CodeVersion)
	newRaw(t, pod).deliver(map[string]string{"train.py": "1"})
}

// A user has to hear of it: dialling again does not help.
func TestAGangSaysThatAnAgentIsOfAnotherVersion(t *testing.T) {
	said := make(chan error, 10)
	dial := func(context.Context, session.Rank) (io.ReadWriteCloser, error) {
		mine, theirs := net.Pipe()
		go func() {
			c := wire.NewConn(theirs)
			if c.Accept() == nil {
				if _, err := c.Read(); err == nil {
					_ = c.Write(wire.TypeRefused, wire.Refused{Code: wire.CodeVersion, Message: "the agent speaks version 7, the client 1 to 1"})
				}
			}
			_ = theirs.Close()
		}()
		return mine, nil
	}
	g := session.NewGang(dial, "test", session.Events{
		Delivered: func(session.Delivery) { t.Error("a delivery to an agent of another version") },
		Refused:   func(err error) { said <- err },
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
		if !strings.Contains(err.Error(), "version 7") {
			t.Errorf("it said: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody hears that the agent is of another version")
	}
}
