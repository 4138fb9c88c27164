package forward_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/forward"
)

// stuck is a pod whose end of the connection takes no frames any more: the calls
// that are named stand still until the test ends.
type stuck struct {
	pod     string
	calls   []string
	arrived chan string // the calls that stand still
	passed  chan string // all others
	release chan struct{}
	free    func() // lets everything pass
}

// stick makes calls on connections to a pod stand still.
func (p *pods) stick(t *testing.T, pod string, calls ...string) *stuck {
	s := &stuck{pod: pod, calls: calls, arrived: make(chan string, 100), passed: make(chan string, 100), release: make(chan struct{})}
	p.stuck = s
	s.free = sync.OnceFunc(func() { close(s.release) })
	t.Cleanup(s.free)
	return s
}

func (s *stuck) at(pod, call string) {
	if s == nil || s.pod != pod {
		return
	}
	if slices.Contains(s.calls, call) {
		s.arrived <- call
		<-s.release
		return
	}
	s.passed <- call
}

// comes returns when a channel has a value or was closed.
func comes[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: stands still", what)
	}
	return v
}

// started runs a function in a goroutine, and returns what is closed at its end.
func started(do func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	return done
}

// talk connects and says something.
func talk(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		t.Fatal(err)
	}
	return c
}

// said returns all that comes until the connection ends.
func said(c net.Conn) <-chan string {
	answer := make(chan string, 1)
	go func() {
		line, _ := io.ReadAll(c)
		answer <- string(line)
	}()
	return answer
}

var whileAStreamIsMade = []string{corev1.StreamTypeError, corev1.StreamTypeError + " close", corev1.StreamTypeData}

func TestAPodThatIsReplacedWhileAStreamIsMadeHoldsNobodyUp(t *testing.T) {
	for _, call := range whileAStreamIsMade {
		t.Run(call, func(t *testing.T) {
			w := start(t)
			port := freePort(t)
			a := w.pods.stick(t, "a", call, "close")
			first := pod("a", "job", 0, port)
			w.f.Running(t.Context(), first)
			w.hears()
			answer := said(talk(t, fmt.Sprintf("127.0.0.1:%d", port)))
			comes(t, "the call", a.arrived)
			comes(t, "Gone", started(func() { w.f.Gone(t.Context(), first.Pod) }))
			w.f.Running(t.Context(), pod("b", "job", 0, port))
			if got, want := comes(t, "the client", answer), fmt.Sprintf("b:%d hello\n", port); got != want {
				t.Errorf("answered %q, want %q", got, want)
			}
		})
	}
}

func TestAPodThatIsReplacedWhileItIsDialledHoldsNobodyUp(t *testing.T) {
	w := start(t)
	port := freePort(t)
	w.pods.away, w.pods.dialled = "a", make(chan string, 1)
	first := pod("a", "job", 0, port)
	w.f.Running(t.Context(), first)
	comes(t, "the dial", w.pods.dialled)
	w.f.Gone(t.Context(), first.Pod)
	w.f.Running(t.Context(), pod("b", "job", 0, port))
	if got, want := comes(t, "the client", said(talk(t, fmt.Sprintf("127.0.0.1:%d", port)))), fmt.Sprintf("b:%d hello\n", port); got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
}

func TestAStreamThatComesTooLateIsReset(t *testing.T) {
	w := start(t)
	port := freePort(t)
	a := w.pods.stick(t, "a", corev1.StreamTypeData, "close")
	first := pod("a", "job", 0, port)
	w.f.Running(t.Context(), first)
	w.hears()
	talk(t, fmt.Sprintf("127.0.0.1:%d", port))
	comes(t, "the stream", a.arrived)
	comes(t, "Gone", started(func() { w.f.Gone(t.Context(), first.Pod) }))
	comes(t, "the end of the connection", a.arrived)
	a.free()
	want := map[string]bool{"data reset": true, "error reset": true}
	for len(want) > 0 {
		delete(want, comes(t, fmt.Sprint(want), a.passed))
	}
}

func TestAConnectionThatIsLostWhileAStreamIsMadeIsMadeAnew(t *testing.T) {
	w := start(t)
	port := freePort(t)
	a := w.pods.stick(t, "a", corev1.StreamTypeData)
	w.f.Running(t.Context(), pod("a", "job", 0, port))
	w.hears()
	talk(t, fmt.Sprintf("127.0.0.1:%d", port))
	comes(t, "the stream", a.arrived)
	w.pods.cut()
	comes(t, "the stream on the next connection", a.arrived)
}

func TestForwardingEndsWhateverStandsStill(t *testing.T) {
	for _, call := range append(whileAStreamIsMade, "write", "data reset", "close") {
		t.Run(call, func(t *testing.T) {
			w := start(t)
			port := freePort(t)
			a := w.pods.stick(t, "a", call)
			w.pods.mute = call == "data reset" // there is an answer, and never an error
			w.f.Running(t.Context(), pod("a", "job", 0, port))
			w.hears()
			c := talk(t, fmt.Sprintf("127.0.0.1:%d", port))
			if call != "close" {
				comes(t, "the call", a.arrived)
			}
			w.stop()
			comes(t, "Run", w.done)
			comes(t, "the client", said(c))
		})
	}
}

func TestAClientOfAPodThatTakesNothingIsLetGoWhenThePodIs(t *testing.T) {
	w := start(t)
	port := freePort(t)
	a := w.pods.stick(t, "a", "write", "data reset", "close")
	first := pod("a", "job", 0, port)
	w.f.Running(t.Context(), first)
	w.hears()
	c := talk(t, fmt.Sprintf("127.0.0.1:%d", port))
	comes(t, "the write", a.arrived)
	comes(t, "Gone", started(func() { w.f.Gone(t.Context(), first.Pod) }))
	if got := comes(t, "the client", said(c)); got != "" {
		t.Errorf("answered %q", got)
	}
	w.f.Running(t.Context(), pod("b", "job", 0, port))
	w.answers(fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("b:%d hello", port))
}

func TestClientEndsWithItsContext(t *testing.T) {
	p := &pods{http: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	a := p.stick(t, "a", "write", "data reset", "close")
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://drift/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	done := started(func() {
		answer, err := forward.Client(p.dial, "a", 9100).Do(request)
		if err == nil {
			_ = answer.Body.Close()
			t.Error("was answered")
		}
	})
	comes(t, "the request", a.arrived)
	cancel()
	comes(t, "Get", done)
}
