// Package delta writes a file's bytes as the difference to an earlier version
// that the other side holds: what both begin and end with is copied, the
// middle is compressed with the earlier bytes as dictionary. A one-line edit
// of a source file becomes some tens of bytes, without the round trip that
// rolling checksums need.
//
// Parts are bounded (wire.MaxPart), so that unfolding a file of any size
// takes a few megabytes of memory.
package delta

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// dictID marks frames that need a dictionary; the value means nothing.
const dictID = 1

const (
	minCopy = 16 // a shorter run costs more to describe than to repeat
	minZstd = 64 // below, a zstd frame is no smaller than its content
	// slack is how far an insertion may have shifted the middle of a large
	// file for its dictionary to still cover it.
	slack = 128 << 10
)

var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(2*wire.MaxPart), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}}

// Encode returns now in parts. With a nil base no part refers to one.
func Encode(base, now []byte) []wire.Part {
	e := &encoding{base: base, now: now}
	e.pair(0, len(base), 0, len(now))
	e.literal(len(now))
	return e.parts
}

// encoding collects parts; now[at:] is not described yet.
type encoding struct {
	base, now []byte
	parts     []wire.Part
	at        int
}

// leaf is the length below which no further look is taken for equal runs.
const leaf = 64 << 10

// pair finds runs of now[n0:n1] in base[b0:b1]: what both begin and end with,
// and then the same in the halves of what lies between, so that a file that
// was written to in several places is mostly copied.
func (e *encoding) pair(b0, b1, n0, n1 int) {
	if p := common(e.base[b0:b1], e.now[n0:n1]); p >= minCopy {
		e.copy(n0, b0, p)
		b0, n0 = b0+p, n0+p
	}
	s := commonEnd(e.base[b0:b1], e.now[n0:n1])
	if s < minCopy {
		s = 0
	}
	b1, n1 = b1-s, n1-s
	if half := (n1 - n0) / 2; n1-n0 > leaf && b1-b0 > 0 {
		e.pair(b0, min(b0+half, b1), n0, n0+half)
		e.pair(max(b1-(n1-n0-half), b0), b1, n0+half, n1)
	}
	if s > 0 {
		e.copy(n1, b1, s)
	}
}

// copy describes now[at:at+n] as bytes of the base.
func (e *encoding) copy(at, from, n int) {
	e.literal(at)
	if k := len(e.parts) - 1; k >= 0 && e.parts[k].Op == wire.Copy && e.parts[k].Offset+e.parts[k].Size == int64(from) {
		e.parts[k].Size += int64(n)
	} else {
		e.parts = append(e.parts, wire.Part{Op: wire.Copy, Size: int64(n), Offset: int64(from)})
	}
	e.at = at + n
}

// literal describes what lies before end as bytes of its own.
func (e *encoding) literal(end int) {
	for e.at < end {
		n := min(end-e.at, wire.MaxPart)
		e.parts = append(e.parts, encodePiece(e.base, e.at, e.now[e.at:e.at+n]))
		e.at += n
	}
}

func encodePiece(base []byte, at int, piece []byte) wire.Part {
	best := wire.Part{Op: wire.Raw, Size: int64(len(piece)), Data: piece}
	if len(piece) < minZstd {
		return best
	}
	e := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(e)
	from := max(0, min(at-slack, len(base)-wire.MaxPart))
	dict := base[from:min(from+wire.MaxPart, len(base))]
	if len(dict) >= minZstd {
		if err := e.ResetWithOptions(nil, zstd.WithEncoderDictRaw(dictID, dict)); err == nil {
			data := e.EncodeAll(piece, nil)
			if len(data) < len(best.Data) {
				best = wire.Part{Op: wire.Dict, Size: int64(len(piece)), Offset: int64(from), Extent: int64(len(dict)), Data: data}
			}
		}
	} else if err := e.ResetWithOptions(nil, zstd.WithEncoderDictDelete()); err == nil {
		if data := e.EncodeAll(piece, nil); len(data) < len(best.Data) {
			best = wire.Part{Op: wire.Zstd, Size: int64(len(piece)), Data: data}
		}
	}
	return best
}

// Refers tells whether a part needs the base.
func Refers(parts []wire.Part) bool {
	for _, p := range parts {
		if p.Op == wire.Copy || p.Op == wire.Dict {
			return true
		}
	}
	return false
}

// plain unfolds parts without dictionary; safe for concurrent use.
var plain = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4*wire.MaxPart), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// Unfold writes the bytes of a part. base may be nil when no part refers to
// one. The sum of the whole file proves the result; Unfold itself checks only
// sizes.
func Unfold(w io.Writer, p wire.Part, base io.ReaderAt) error {
	if (p.Op == wire.Copy || p.Op == wire.Dict) && base == nil {
		return fmt.Errorf("unfold a part: no base")
	}
	switch p.Op {
	case wire.Raw:
		if int64(len(p.Data)) != p.Size {
			return fmt.Errorf("unfold a part: %d bytes for %d", len(p.Data), p.Size)
		}
		_, err := w.Write(p.Data)
		return err
	case wire.Copy:
		n, err := io.Copy(w, io.NewSectionReader(base, p.Offset, p.Size))
		if err == nil && n != p.Size {
			err = fmt.Errorf("unfold a part: the base ends %d bytes early", p.Size-n)
		}
		return err
	case wire.Zstd:
		return decode(w, plain(), p)
	case wire.Dict:
		dict := make([]byte, p.Extent)
		if n, err := base.ReadAt(dict, p.Offset); int64(n) != p.Extent {
			return fmt.Errorf("unfold a part: read the dictionary: %w", err)
		}
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4*wire.MaxPart), zstd.WithDecoderLowmem(true), zstd.WithDecoderDictRaw(dictID, dict))
		if err != nil {
			return fmt.Errorf("unfold a part: %w", err)
		}
		defer d.Close()
		return decode(w, d, p)
	}
	return fmt.Errorf("unfold a part: unknown op %d", p.Op)
}

func decode(w io.Writer, d *zstd.Decoder, p wire.Part) error {
	out, err := d.DecodeAll(p.Data, make([]byte, 0, min(p.Size, wire.MaxPart)))
	if err != nil {
		return fmt.Errorf("unfold a part: %w", err)
	}
	if int64(len(out)) != p.Size {
		return fmt.Errorf("unfold a part: %d bytes for %d", len(out), p.Size)
	}
	_, err = w.Write(out)
	return err
}

// common returns how many bytes a and b begin with alike.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for step := 4096; i+step <= n && bytes.Equal(a[i:i+step], b[i:i+step]); {
		i += step
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// commonEnd returns how many bytes a and b end with alike.
func commonEnd(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for step := 4096; i+step <= n && bytes.Equal(a[len(a)-i-step:len(a)-i], b[len(b)-i-step:len(b)-i]); {
		i += step
	}
	for i < n && a[len(a)-1-i] == b[len(b)-1-i] {
		i++
	}
	return i
}
