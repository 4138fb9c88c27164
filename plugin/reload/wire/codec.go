package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// ErrCorrupt says that a frame is not what the protocol allows.
var ErrCorrupt = errors.New("corrupt frame")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// encoder appends fields.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64)     { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) byte(v byte)       { e.b = append(e.b, v) }
func (e *encoder) sum(v [32]byte)    { e.b = append(e.b, v[:]...) }
func (e *encoder) text(v string)     { e.uint(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) bytes(v []byte)    { e.uint(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) count(n int)       { e.uint(uint64(n)) }
func (e *encoder) size(v int64)      { e.uint(uint64(max(v, 0))) }
func (e *encoder) time(v time.Time)  { e.uint(nanos(v)) }
func (e *encoder) number(v, off int) { e.uint(uint64(max(v+off, 0))) }

func (e *encoder) flag(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func nanos(t time.Time) uint64 {
	if t.IsZero() || t.UnixNano() < 0 {
		return 0
	}
	return uint64(t.UnixNano())
}

// decoder takes fields off a frame. After the first error it returns zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = corrupt(format, args...)
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 || (n > 1 && d.b[n-1] == 0) {
		d.fail("a number is cut or longer than it needs to be")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("it ends early")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) flag() bool {
	v := d.byte()
	if v > 1 {
		d.fail("a flag is %d", v)
	}
	return v == 1
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("%d bytes announced, %d left", n, len(d.b))
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) sum() (v [32]byte) {
	copy(v[:], d.take(32))
	return v
}

// bytes shares the frame's memory.
func (d *decoder) bytes() []byte {
	v := d.take(d.uint())
	if len(v) == 0 {
		return nil
	}
	return v
}

// maxText bounds names and messages; Linux ends a path at 4096 bytes.
const maxText = 16 << 10

func (d *decoder) text() string {
	v := d.any()
	if !utf8.ValidString(v) {
		d.fail("a text is not UTF-8")
		return ""
	}
	return v
}

// any is a text that need not be UTF-8, such as the target of a link.
func (d *decoder) any() string {
	n := d.uint()
	if n > maxText {
		d.fail("a text of %d bytes", n)
	}
	return string(d.take(n))
}

// count returns the length of a list whose elements take at least least bytes.
func (d *decoder) count(least int) int {
	n := d.uint()
	if n > uint64(len(d.b)/least) {
		d.fail("a list of %d in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) size() int64 {
	v := d.uint()
	if v > math.MaxInt64 {
		d.fail("a size of %d", v)
		return 0
	}
	return int64(v)
}

func (d *decoder) number(off int) int {
	v := d.uint()
	if v > math.MaxInt32 {
		d.fail("a number of %d", v)
		return 0
	}
	return int(v) - off
}

func (d *decoder) time() time.Time {
	v := d.size()
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(0, v).UTC()
}
