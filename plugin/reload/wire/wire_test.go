package wire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFramesArriveAsTheyWereSent(t *testing.T) {
	var stream bytes.Buffer
	stream.WriteString("a login banner\n")
	c := NewConn(&stream)
	want := Prepare{Generation: 7, Deletes: []string{"a"}}
	if err := c.Write(TypePrepare, want); err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte{1, 2, 3}, MaxPart)
	if err := c.QueueContent(Content{Sum: [32]byte{9}, Bytes: big}); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(TypePing, nil); err != nil {
		t.Fatal(err)
	}
	in := NewConn(&stream)
	if err := in.Accept(); err != nil {
		t.Fatal(err)
	}
	f, err := in.Read()
	if err != nil {
		t.Fatal(err)
	}
	var got Prepare
	if err := f.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var joined []byte
	for {
		f, err := in.Read()
		if err != nil {
			t.Fatal(err)
		}
		part, err := f.Content()
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, part.Bytes...)
		if !part.More {
			break
		}
	}
	if !bytes.Equal(joined, big) {
		t.Error("content in parts is not what was sent")
	}
}

func TestAnEditIsSentAsADifference(t *testing.T) {
	var old strings.Builder
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		fmt.Fprintf(&old, "line_%d = compute(%d)\n", i, r.IntN(1e6))
	}
	base := []byte(old.String())
	next := bytes.Replace(base, []byte("line_200 ="), []byte("line_200 += 1 +"), 1)
	sum := sha256.Sum256(next)
	c, err := Encode(sum, next, sha256.Sum256(base), base)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Bytes) > 100 {
		t.Errorf("a one-line edit of %d bytes is sent as %d", len(next), len(c.Bytes))
	}
	got, err := Decode(c, base)
	if err != nil || !bytes.Equal(got, next) {
		t.Errorf("round trip: %v", err)
	}
	if _, err := Decode(c, []byte("another base")); err == nil {
		t.Error("a wrong base was accepted")
	}
}

// A stream cut at any byte is an error, never a frame.
func TestACutStreamIsNeverAFrame(t *testing.T) {
	var stream bytes.Buffer
	c := NewConn(&stream)
	if err := c.Write(TypeCommit, Commit{Generation: 3}); err != nil {
		t.Fatal(err)
	}
	whole := stream.Bytes()
	for cut := range whole {
		in := NewConn(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(whole[:cut]), io.Discard})
		if err := in.Accept(); err != nil {
			continue
		}
		if f, err := in.Read(); err == nil {
			t.Fatalf("cut at %d gave a frame of type %d", cut, f.Type)
		}
	}
}

func TestAStrangerIsRecognised(t *testing.T) {
	in := NewConn(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(strings.Repeat("x", 1<<20)), io.Discard})
	if err := in.Accept(); !errors.Is(err, ErrNoMagic) {
		t.Errorf("err = %v, want ErrNoMagic", err)
	}
}

func FuzzRead(f *testing.F) {
	var stream bytes.Buffer
	c := NewConn(&stream)
	_ = c.Write(TypeHello, Hello{Version: 1})
	_ = c.QueueContent(Content{Bytes: []byte("x")})
	_ = c.Write(TypeStage, nil)
	f.Add(stream.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := NewConn(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(raw), io.Discard})
		if in.Accept() != nil {
			return
		}
		for {
			frame, err := in.Read()
			if err != nil {
				return
			}
			_ = frame.Decode(&Hello{})
			if content, err := frame.Content(); err == nil {
				_, _ = Decode(content, nil)
			}
		}
	})
}
