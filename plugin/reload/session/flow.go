package session

import (
	"io"
	"sync/atomic"
)

// flow is a rank's stream that tells of bytes which move: one frame may take
// longer than a silent rank is waited for.
type flow struct {
	stream io.ReadWriter
	heard  chan struct{} // something came
	taken  atomic.Int64  // pieces of deliveries that the stream took; PING is none
}

// pieceBytes is what an exec stream sends in one message (io.Copy's buffer).
const pieceBytes = 32 << 10

func (f *flow) Read(p []byte) (int, error) {
	n, err := f.stream.Read(p)
	if n > 0 {
		select {
		case f.heard <- struct{}{}:
		default:
		}
	}
	return n, err
}

func (f *flow) Write(p []byte) (n int, err error) {
	for len(p)-n > pieceBytes {
		m, err := f.stream.Write(p[n : n+pieceBytes])
		n += m
		if err != nil {
			return n, err
		}
		f.taken.Add(1)
	}
	m, err := f.stream.Write(p[n:])
	return n + m, err
}
