package delta_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/delta"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

func unfold(t testing.TB, base []byte, parts []wire.Part) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, p := range parts {
		if err := delta.Unfold(&out, p, bytes.NewReader(base)); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// weight returns the bytes that the parts take on the wire.
func weight(parts []wire.Part) int {
	n := len(wire.Frame(&wire.Prepare{Puts: []wire.Put{{Path: "train.py", Kind: tree.File, Parts: nil}}}))
	for _, p := range parts {
		n += len(p.Data) + 12
	}
	return n
}

// source returns text that compresses like code.
func source(n int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	words := []string{"self", "return", "import", "def ", "    ", "loss", "= ", "(x", "):\n", "torch.", "for i in range", "\n", "optimizer"}
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		fmt.Fprint(&b, r.IntN(1000))
	}
	return b.Bytes()[:n]
}

func splice(base []byte, at, cut int, insert string) []byte {
	return append(append(bytes.Clone(base[:at]), insert...), base[at+cut:]...)
}

func TestDifferencesAreSmallAndTrue(t *testing.T) {
	code := source(15 << 10)
	noise := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for name, c := range map[string]struct {
		base, now []byte
		most      int // bytes of the frame
	}{
		"a line in a source file":               {code, splice(code, 7000, 20, "learning_rate = 0.3\n"), 300},
		"the first and the last line":           {code, splice(splice(code, 20, 5, "abc"), 15000, 5, "xyz"), 400},
		"one byte of 20 MB":                     {noise, splice(noise, 9<<20, 1, "x"), 300},
		"an insertion in 20 MB":                 {noise, splice(noise, 9<<20, 0, "many bytes"), 300},
		"two bytes of 20 MB, 5 MB apart":        {noise, splice(splice(noise, 9<<20, 1, "x"), 14<<20, 1, "y"), 64 << 10},
		"a new file":                            {nil, code, 10 << 10},
		"a file becomes empty":                  {code, nil, 200},
		"nothing changed":                       {code, code, 200},
		"a file grows at its end":               {code, append(bytes.Clone(code), "more"...), 200},
		"one that repeats itself":               {[]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), []byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 200},
		"an empty base":                         {[]byte{}, []byte("x"), 200},
		"incompressible and new stays as it is": {nil, noise[:3<<20], 3<<20 + 600},
	} {
		t.Run(name, func(t *testing.T) {
			parts := delta.Encode(c.base, c.now)
			if got := unfold(t, c.base, parts); !bytes.Equal(got, c.now) {
				t.Fatalf("%d bytes came back as %d", len(c.now), len(got))
			}
			if n := weight(parts); n > c.most {
				t.Errorf("%d bytes on the wire, at most %d wanted", n, c.most)
			}
		})
	}
}

func FuzzUnfold(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"), []byte("abcdefghijklmnopqrstuvwxyzABC0123456789abcdefghijklmnopqrstuvwxyz"), uint8(2), int64(0), int64(10))
	f.Fuzz(func(t *testing.T, base, now []byte, op uint8, offset, size int64) {
		if got := unfold(t, base, delta.Encode(base, now)); !bytes.Equal(got, now) {
			t.Fatal("a difference does not lead back")
		}
		// Whatever a stranger sends: an error or the announced size.
		var out bytes.Buffer
		p := wire.Part{Op: wire.Op(op%6 + 1), Size: size % wire.MaxPart, Offset: offset, Extent: size % 100, Data: now}
		if p.Size < 0 || p.Extent < 0 || p.Offset < 0 {
			return
		}
		if err := delta.Unfold(&out, p, bytes.NewReader(base)); err == nil && int64(out.Len()) != p.Size {
			t.Fatalf("%d bytes for %d", out.Len(), p.Size)
		}
	})
}

func BenchmarkEncodeOneLine(b *testing.B) {
	code := source(15 << 10)
	now := splice(code, 7000, 20, "learning_rate = 0.3\n")
	two := splice(now, 100, 20, "import numpy\n")
	b.Run("one place", func(b *testing.B) {
		for b.Loop() {
			delta.Encode(code, now)
		}
	})
	b.Run("two places", func(b *testing.B) {
		for b.Loop() {
			delta.Encode(code, two)
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			delta.Encode(nil, code)
		}
	})
}
