package reloadtest

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// Toward is a direction of a Line.
type Toward int

// The directions.
const (
	ToAgent Toward = iota
	ToGang
)

// Fault happens to a connection after exactly After bytes toward one end.
type Fault struct {
	Toward Toward
	After  int64
	Stall  bool // forward nothing any more and close nothing; else close both ends
}

// Line is the way between gangs and one agent.
type Line struct {
	mu    sync.Mutex
	pairs map[*pair]bool
	next  *Fault // of the connection that is opened next
	count [2]int64
	gate  [2]chan struct{} // not nil: held
	slow  [2]Rate
}

// Rate is how slowly a Line forwards: Bytes, then Pause, and so on.
type Rate struct {
	Bytes int
	Pause time.Duration
}

// pair is one connection: near is the gang's side of it, far the agent's.
type pair struct {
	line      *Line
	near, far net.Conn
	done      chan struct{}
	once      sync.Once

	// Guarded by the line's mutex.
	fault   *Fault
	stalled bool
}

// NewLine returns a line that forwards everything.
func NewLine() *Line { return &Line{pairs: map[*pair]bool{}} }

// Dial opens a connection to the agent's socket. The gang's end is a pipe
// without a buffer: what the line does not take, blocks the gang.
func (l *Line) Dial(ctx context.Context, socket string) (io.ReadWriteCloser, error) {
	var d net.Dialer
	far, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	mine, near := net.Pipe()
	p := &pair{line: l, near: near, far: far, done: make(chan struct{})}
	l.mu.Lock()
	p.fault, l.next = l.next, nil
	l.pairs[p] = true
	l.mu.Unlock()
	go p.forward(ToAgent, near, far)
	go p.forward(ToGang, far, near)
	return mine, nil
}

// Arm makes a fault happen to the open connections, counted from now.
func (l *Line) Arm(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		armed := f
		p.fault = &armed
	}
}

// ArmNext makes a fault happen to the next connection, counted from its first
// byte.
func (l *Line) ArmNext(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = &f
}

// Disarm takes back the faults that have not happened.
func (l *Line) Disarm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = nil
	for p := range l.pairs {
		p.fault = nil
	}
}

// Cut closes the open connections.
func (l *Line) Cut() { l.closeIf(func(*pair) bool { return true }) }

// CutStalled closes the connections that forward nothing any more.
func (l *Line) CutStalled() { l.closeIf(func(p *pair) bool { return p.stalled }) }

func (l *Line) closeIf(chosen func(*pair) bool) {
	l.mu.Lock()
	var pairs []*pair
	for p := range l.pairs {
		if chosen(p) {
			pairs = append(pairs, p)
		}
	}
	l.mu.Unlock()
	for _, p := range pairs {
		p.close()
	}
}

// Stall makes the open connections forward nothing any more, as behind a
// firewall that has forgotten them.
func (l *Line) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.stalled = true
	}
}

// Open returns how many connections are open.
func (l *Line) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pairs)
}

// Count returns the bytes that were forwarded in a direction, ever.
func (l *Line) Count(to Toward) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[to]
}

// Hold keeps back what is sent in a direction until release is called.
func (l *Line) Hold(to Toward) (release func()) {
	gate := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate[to] = gate
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.gate[to] = nil
		close(gate)
	})
}

// Slow makes a direction slow from now on. The zero Rate is full speed.
func (l *Line) Slow(to Toward, r Rate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow[to] = r
}

// pace waits where the direction is slow, and says how many of n bytes follow.
func (p *pair) pace(to Toward, n int) int {
	p.line.mu.Lock()
	r := p.line.slow[to]
	p.line.mu.Unlock()
	if r.Bytes == 0 {
		return n
	}
	timer := time.NewTimer(r.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.done:
	}
	return min(n, r.Bytes)
}

// forward copies one direction until the connection ends.
func (p *pair) forward(to Toward, from io.Reader, into io.Writer) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for sent := 0; sent < n; {
			part, last, ok := p.admit(to, p.pace(to, n-sent))
			if !ok {
				return
			}
			if part > 0 { // a pipe would wait for a reader of nothing
				if _, err := into.Write(buf[sent : sent+part]); err != nil && !p.isStalled() {
					p.close()
					return
				}
			}
			sent += part
			if last {
				p.trip()
				break
			}
		}
		if err != nil {
			if p.isStalled() {
				<-p.done // the other end does not hear of it
			}
			p.close()
			return
		}
	}
}

// admit says how many of n bytes may pass and whether the fault follows them;
// false: the connection is at its end.
func (p *pair) admit(to Toward, n int) (part int, last, ok bool) {
	for {
		p.line.mu.Lock()
		gate, stalled := p.line.gate[to], p.stalled
		if gate == nil && !stalled {
			break // with the mutex held
		}
		p.line.mu.Unlock()
		if stalled {
			<-p.done
			return 0, false, false
		}
		select {
		case <-gate:
		case <-p.done:
			return 0, false, false
		}
	}
	defer p.line.mu.Unlock()
	part = n
	if f := p.fault; f != nil && f.Toward == to {
		if int64(n) >= f.After {
			part, last = int(f.After), true
		}
		f.After -= int64(part)
	}
	p.line.count[to] += int64(part)
	return part, last, true
}

// trip lets the fault happen.
func (p *pair) trip() {
	p.line.mu.Lock()
	stall := p.fault != nil && p.fault.Stall
	p.stalled = p.stalled || stall
	p.line.mu.Unlock()
	if !stall {
		p.close()
	}
}

func (p *pair) isStalled() bool {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	return p.stalled
}

func (p *pair) close() {
	p.once.Do(func() {
		p.line.mu.Lock()
		delete(p.line.pairs, p)
		p.line.mu.Unlock()
		close(p.done)
		_ = p.near.Close()
		_ = p.far.Close()
	})
}
