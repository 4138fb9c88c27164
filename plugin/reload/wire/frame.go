package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// Magic opens each direction of a stream.
	Magic = "\x00kubectl-ai reload\n"
	// MaxFrame is the most bytes that a frame's length may announce.
	MaxFrame = 2 << 20
	// maxNoise is how much a wrapper may print before the magic.
	maxNoise = 64 << 10
)

// ErrNoMagic says that the other side is not an agent or a session of ours.
var ErrNoMagic = errors.New("the other side does not speak this protocol")

// Reader takes messages off a stream.
type Reader struct {
	r      *bufio.Reader
	opened bool
}

// NewReader makes a reader that has not seen the magic yet.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Read returns the next message. It returns io.EOF between frames,
// io.ErrUnexpectedEOF inside of one, ErrNoMagic or ErrCorrupt.
func (r *Reader) Read() (Message, error) {
	if !r.opened {
		if err := r.open(); err != nil {
			return nil, err
		}
		r.opened = true
	}
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > MaxFrame {
		return nil, corrupt("a length of %d", n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r.r, frame); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return Decode(frame)
}

// open skips what comes before the magic.
func (r *Reader) open() error {
	matched := 0
	for range maxNoise + len(Magic) {
		c, err := r.r.ReadByte()
		if err != nil {
			return err
		}
		// The magic's first byte occurs nowhere else in it, so a mismatch can
		// only be the beginning of another attempt.
		switch c {
		case Magic[matched]:
			matched++
		case Magic[0]:
			matched = 1
		default:
			matched = 0
		}
		if matched == len(Magic) {
			return nil
		}
	}
	return ErrNoMagic
}

// Writer puts messages on a stream. Safe for concurrent use.
type Writer struct {
	mu     sync.Mutex
	w      io.Writer
	buf    []byte
	opened bool
	sent   int64
}

// NewWriter makes a writer that opens the stream with its first message.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes messages as one piece.
func (w *Writer) Send(messages ...Message) error {
	frames := make([][]byte, len(messages))
	for i, m := range messages {
		frames[i] = Frame(m)
	}
	return w.SendFrames(frames...)
}

// SendFrames writes frames that Frame has made, as one piece if they are
// small.
func (w *Writer) SendFrames(frames ...[]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = w.buf[:0]
	if !w.opened {
		w.opened = true
		w.buf = append(w.buf, Magic...)
	}
	for _, f := range frames {
		if len(w.buf) > 0 && len(w.buf)+len(f) > 256<<10 {
			if err := w.flush(); err != nil {
				return err
			}
		}
		w.buf = append(w.buf, f...)
	}
	return w.flush()
}

func (w *Writer) flush() error {
	n, err := w.w.Write(w.buf)
	w.sent += int64(n)
	w.buf = w.buf[:0]
	if err != nil {
		return fmt.Errorf("write to the stream: %w", err)
	}
	return nil
}

// Sent returns how many bytes were written.
func (w *Writer) Sent() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// Frame returns a message with its length before it. It panics when the
// message is larger than MaxFrame: a sender splits before.
func Frame(m Message) []byte {
	e := encoder{b: make([]byte, 4, 256)}
	e.byte(byte(m.Type()))
	m.encode(&e)
	n := len(e.b) - 4
	if n > MaxFrame {
		panic(fmt.Sprintf("wire: a %v of %d bytes", m.Type(), n))
	}
	binary.BigEndian.PutUint32(e.b, uint32(n))
	return e.b
}

// Decode reads one frame, without its length. The message shares the frame's
// memory.
func Decode(frame []byte) (Message, error) {
	if len(frame) == 0 {
		return nil, corrupt("it is empty")
	}
	m := newMessage(Type(frame[0]))
	if m == nil {
		return nil, corrupt("unknown type %d", frame[0])
	}
	d := decoder{b: frame[1:]}
	m.decode(&d)
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	if d.err != nil {
		return nil, fmt.Errorf("%v: %w", m.Type(), d.err)
	}
	return m, nil
}
