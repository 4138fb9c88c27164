package agent

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// pulse is a client's stream that counts as alive with every byte that comes:
// one frame may take longer than a silent client is waited for. While such a
// frame comes, the client hears a PONG from time to time; its PING is behind
// what it sent before.
type pulse struct {
	net.Conn
	lost  time.Duration
	out   *wire.Writer // on this stream
	heard bool         // the client was welcomed; the reader's
	spoke atomic.Int64 // when something was last sent, ns
}

func newPulse(stream net.Conn, lost time.Duration) *pulse {
	p := &pulse{Conn: stream, lost: lost}
	p.out = wire.NewWriter(p)
	return p
}

func (p *pulse) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(p.lost))
	n, err := p.Conn.Read(b)
	// An idle client hears the answers to its PING, more often than this.
	if n > 0 && p.heard && time.Since(time.Unix(0, p.spoke.Load())) > p.lost/2 {
		_ = p.out.Send(&wire.Pong{})
	}
	return n, err
}

func (p *pulse) Write(b []byte) (int, error) {
	p.spoke.Store(time.Now().UnixNano())
	return p.Conn.Write(b)
}
