package forward_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/kubectl-ai/kubectl-ai/plugin/forward"
)

// pods is a cluster whose pods answer a line with their name and that line.
type pods struct {
	mu      sync.Mutex
	refused map[string]int // dials that fail before one is taken
	deaf    map[string]bool
	mute    bool // answers, and never says that all is well
	forbid  bool
	http    http.Handler // answers instead
	stuck   *stuck       // nil: everything is taken
	away    string       // the pod whose node does not answer
	dialled chan string  // who was dialled in vain
	dials   []string
	conns   []*conn
}

func (p *pods) dial(ctx context.Context, pod string) (httpstream.Connection, error) {
	if p.away == pod {
		p.dialled <- pod
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials = append(p.dials, pod)
	if p.forbid {
		return nil, &forward.ForbiddenError{Namespace: "ns", Err: errors.New("no")}
	}
	if p.refused[pod] > 0 {
		p.refused[pod]--
		return nil, errors.New("the kubelet is away")
	}
	c := &conn{pods: p, pod: pod, closed: make(chan bool)}
	p.conns = append(p.conns, c)
	return c, nil
}

// cut ends every connection, as a network does that went away.
func (p *pods) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.lose()
	}
}

// conn is a connection to a pod; streams come in pairs, the error's first.
type conn struct {
	httpstream.Connection // nil: what else is called fails the test
	pods                  *pods
	pod                   string
	once                  sync.Once
	closed                chan bool
	failed                *io.PipeWriter // of the pair that is being made
}

func (c *conn) Close() error {
	c.pods.stuck.at(c.pod, "close")
	c.lose()
	return nil
}

// lose ends the connection from the other end.
func (c *conn) lose() { c.once.Do(func() { close(c.closed) }) }

func (c *conn) CloseChan() <-chan bool             { return c.closed }
func (c *conn) RemoveStreams(...httpstream.Stream) {}

func (c *conn) CreateStream(h http.Header) (httpstream.Stream, error) {
	select {
	case <-c.closed:
		return nil, errors.New("connection lost")
	default:
	}
	kind := h.Get(corev1.StreamType)
	c.pods.stuck.at(c.pod, kind)
	if kind == corev1.StreamTypeError {
		r, w := io.Pipe()
		c.failed = w
		return &stream{conn: c, kind: kind, Reader: r, Writer: io.Discard, reset: r.Close}, nil
	}
	near, far := net.Pipe()
	failed, port := c.failed, h.Get(corev1.PortHeader)
	c.pods.mu.Lock()
	deaf := c.pods.deaf[c.pod]
	c.pods.mu.Unlock()
	go func() {
		<-c.closed
		_ = far.Close()
		_ = failed.Close()
	}()
	go func() {
		defer func() { _ = far.Close() }()
		if deaf {
			_, _ = io.WriteString(failed, "socat: connection refused")
			_ = failed.Close()
			return
		}
		if c.pods.http != nil {
			c.speakHTTP(far)
			_ = failed.Close()
			return
		}
		line, err := bufio.NewReader(far).ReadString('\n')
		if err == nil {
			_, _ = fmt.Fprintf(far, "%s:%s %s", c.pod, port, line)
		}
		if !c.pods.mute {
			_ = failed.Close()
		}
	}()
	return &stream{conn: c, kind: kind, Reader: near, Writer: near, reset: near.Close}, nil
}

// speakHTTP answers one request.
func (c *conn) speakHTTP(far net.Conn) {
	request, err := http.ReadRequest(bufio.NewReader(far))
	if err != nil {
		return
	}
	w := httptest.NewRecorder()
	c.pods.http.ServeHTTP(w, request)
	_ = w.Result().Write(far)
}

type stream struct {
	httpstream.Stream
	conn *conn
	kind string
	io.Reader
	io.Writer
	reset func() error
}

func (s *stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func (s *stream) Write(p []byte) (int, error) {
	s.conn.pods.stuck.at(s.conn.pod, "write")
	return s.Writer.Write(p)
}

func (s *stream) Close() error {
	s.conn.pods.stuck.at(s.conn.pod, s.kind+" close")
	return nil
}

// Reset wakes who reads before it writes a frame, as spdystream does.
func (s *stream) Reset() error {
	err := s.reset()
	s.conn.pods.stuck.at(s.conn.pod, s.kind+" reset")
	return err
}

// world is a forwarder that runs, and what it said.
type world struct {
	t    *testing.T
	pods *pods
	f    *forward.Forwarder
	said chan string
	stop context.CancelFunc
	done chan struct{} // closed when Run has returned
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pods: &pods{refused: map[string]int{}, deaf: map[string]bool{}}, said: make(chan string, 100)}
	w.f = forward.New(w.pods.dial, func(format string, args ...any) { w.said <- fmt.Sprintf(format, args...) })
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.done = cancel, make(chan struct{})
	go func() {
		defer close(w.done)
		w.f.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-w.done })
	return w
}

func pod(name, job string, rank int, port int32) forward.Pod {
	yes := true
	return forward.Pod{Rank: rank, Pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), OwnerReferences: []metav1.OwnerReference{{Kind: "Job", Name: job, Controller: &yes}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: port}, {ContainerPort: port + 1, Protocol: corev1.ProtocolUDP},
		}}}},
	}}
}

// hears returns the next line that was said.
func (w *world) hears() string {
	w.t.Helper()
	select {
	case s := <-w.said:
		return s
	case <-time.After(20 * time.Second):
		w.t.Fatal("nothing was said")
		return ""
	}
}

// ask connects and returns what answers.
func (w *world) ask(address string) string {
	w.t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil && len(answer) > 0 {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(answer))
}

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

func (w *world) answers(address, want string) {
	w.t.Helper()
	if got := w.ask(address); got != want {
		w.t.Errorf("%s answers %q, want %q", address, got, want)
	}
}

func TestAPortStaysWhileItsPodIsReplaced(t *testing.T) {
	w := start(t)
	port := freePort(t)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	first, second := pod("a", "job", 0, port), pod("b", "job", 0, port)
	w.f.Running(t.Context(), first)
	if got, want := w.hears(), fmt.Sprintf("%s → a:%d (http)", at, port); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	w.answers(at, fmt.Sprintf("a:%d hello", port))
	w.f.Gone(t.Context(), first.Pod)
	answered := make(chan string)
	go func() { answered <- w.ask(at) }() // waits for the next pod
	w.f.Running(t.Context(), second)
	if got, want := <-answered, fmt.Sprintf("b:%d hello", port); got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
	if got, want := w.hears(), fmt.Sprintf("%s → b:%d (http)", at, port); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestALostConnectionIsMadeAnew(t *testing.T) {
	w := start(t)
	port := freePort(t)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	w.pods.refused["a"] = 2
	w.f.Running(t.Context(), pod("a", "job", 0, port))
	w.hears()
	w.answers(at, fmt.Sprintf("a:%d hello", port))
	for range 3 {
		w.pods.cut()
		w.answers(at, fmt.Sprintf("a:%d hello", port))
	}
	w.pods.mu.Lock()
	defer w.pods.mu.Unlock()
	if len(w.pods.dials) != 2+1+3 {
		t.Errorf("%d dials, want 2 that are refused, 1 and 3: %q", len(w.pods.dials), w.pods.dials)
	}
}

func TestRank0IsForwardedAlone(t *testing.T) {
	w := start(t)
	port := freePort(t)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	zero := pod("zero", "job", 0, port)
	w.f.Running(t.Context(), pod("one", "job", 1, port))
	w.f.Running(t.Context(), zero)
	w.hears()
	w.answers(at, fmt.Sprintf("zero:%d hello", port))
	w.f.Gone(t.Context(), zero.Pod)
	w.f.Running(t.Context(), pod("zero-again", "job", 0, port))
	w.hears()
	w.answers(at, fmt.Sprintf("zero-again:%d hello", port))
}

func TestOfAWorkloadWithoutRanksTheOldestPodIsForwarded(t *testing.T) {
	w := start(t)
	port := freePort(t)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	old, young := pod("old", "web", -1, port), pod("young", "web", -1, port)
	old.CreationTimestamp, young.CreationTimestamp = metav1.Unix(1, 0), metav1.Unix(2, 0)
	w.f.Running(t.Context(), old)
	w.f.Running(t.Context(), young)
	w.hears()
	w.answers(at, fmt.Sprintf("old:%d hello", port))
	w.f.Gone(t.Context(), old.Pod)
	w.answers(at, fmt.Sprintf("young:%d hello", port))
}

func TestAPortThatIsTakenHereIsForwardedFromAnother(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := int32(taken.Addr().(*net.TCPAddr).Port)
	w := start(t)
	w.f.Running(t.Context(), pod("a", "job", 0, port))
	said := w.hears()
	at, rest, _ := strings.Cut(said, " ")
	if want := fmt.Sprintf("(%d is in use here) → a:%d (http)", port, port); rest != want {
		t.Errorf("said %q, want an address and %q", said, want)
	}
	w.answers(at, fmt.Sprintf("a:%d hello", port))
}

func TestAPodWhereNothingListensYetIsNamedOnce(t *testing.T) {
	w := start(t)
	port := freePort(t)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	w.pods.deaf["a"] = true
	w.f.Running(t.Context(), pod("a", "job", 0, port))
	w.hears()
	w.answers(at, "")
	w.answers(at, "")
	if got, want := w.hears(), fmt.Sprintf("port %d of a: nothing listens there yet", port); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	w.pods.mu.Lock()
	w.pods.deaf["a"] = false
	w.pods.mu.Unlock()
	w.answers(at, fmt.Sprintf("a:%d hello", port))
	select {
	case s := <-w.said:
		t.Errorf("said %q as well", s)
	default:
	}
}

func TestWhatIsForbiddenIsSaidOnceForAllWorkloads(t *testing.T) {
	w := start(t)
	w.pods.forbid = true
	w.f.Running(t.Context(), pod("a", "job", 0, freePort(t)))
	w.f.Running(t.Context(), pod("b", "other", 0, freePort(t)))
	if got := w.hears(); !strings.HasPrefix(got, "ports are not forwarded: create on pods/portforward is missing in namespace ns") {
		t.Errorf("said %q", got)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for dialled := 0; dialled < 2; <-tick.C {
		w.pods.mu.Lock()
		dialled = len(w.pods.dials)
		w.pods.mu.Unlock()
	}
	select {
	case s := <-w.said:
		t.Errorf("said %q as well", s)
	default:
	}
}
