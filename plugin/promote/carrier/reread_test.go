package carrier

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// tampering is a registry that gives other bytes, or none, for one digest.
type tampering struct {
	http.Handler
	digest string
	cut    bool
}

func (h *tampering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.digest == "" || !strings.HasSuffix(r.URL.Path, h.digest) || r.Method != http.MethodGet {
		h.Handler.ServeHTTP(w, r)
		return
	}
	if h.cut {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer := httptest.NewRecorder()
	h.Handler.ServeHTTP(answer, r)
	content := bytes.Clone(answer.Body.Bytes())
	content[len(content)/2] ^= 1
	w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
	_, _ = w.Write(content)
}

func TestRereadNamesTheBytesThatAreOthers(t *testing.T) {
	h := &tampering{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	e := &engine{img: platformImage(t, "amd64"), ref: "127.0.0.1:1/runtime:3.11"}
	code := newCode(t, sample, map[string]string{"link": "train.py"})
	layers := &Layers{Resolver: &Resolver{Engine: e, Cache: t.TempDir(), Arches: []string{"amd64"}}, Registry: host, Project: "p"}
	result, err := layers.Carry(t.Context(), code.Code, targets(t, e.ref), quiet{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := result.Push(t.Context(), quiet{}); err != nil {
		t.Fatal(err)
	}
	index, blobs, err := Reread(t.Context(), result.Code[0], "/app")
	if err != nil || index.Digest() != code.Digest() || len(blobs) != 5 {
		t.Fatalf("%v, %+v, %v", index, blobs, err)
	}
	for _, b := range blobs {
		if !b.Same() {
			t.Errorf("untouched: %+v", b)
		}
	}
	for _, touched := range blobs {
		for _, cut := range []bool{false, true} {
			h.digest, h.cut = touched.Digest, cut
			_, got, err := Reread(t.Context(), result.Code[0], "/app")
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range got {
				if b.Same() == (b.Digest == touched.Digest) {
					t.Errorf("%s %s was touched, %+v", touched.What, touched.Digest, b)
				}
				if b.Digest == touched.Digest && cut == (b.Err == nil) {
					t.Errorf("cut off %t: %+v", cut, b)
				}
			}
		}
	}
	h.digest = ""
	s.Close()
	if _, _, err := Reread(t.Context(), result.Code[0], "/app"); err == nil {
		t.Error("a registry that is gone is no finding but an error")
	}
}
