package carrier

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// built is an image of layers, each a list of paths; a folder ends in a slash.
func built(t *testing.T, layers ...[]string) v1.Image {
	t.Helper()
	img := empty.Image
	for _, paths := range layers {
		var content bytes.Buffer
		w := tar.NewWriter(&content)
		for _, p := range paths {
			h := &tar.Header{Typeflag: tar.TypeReg, Name: p, Mode: 0o644}
			if strings.HasSuffix(p, "/") {
				h.Typeflag = tar.TypeDir
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func TestFilesThatTheCodeHidesAreNamed(t *testing.T) {
	code := newCode(t, sample, nil)
	for _, c := range []struct {
		name     string
		layers   [][]string
		declared []string
		want     []string // nil: nothing is hidden
	}{
		{"nothing is there", [][]string{{"app/", "etc/passwd", "application/x.so"}}, nil, nil},
		{"the code brings it itself", [][]string{{"app/train.py", "app/lib/deep/a.py"}}, nil, nil},
		{"a folder of its own, and a file beside the code's", [][]string{{"app/.venv/bin/python", "app/.venv/lib/x.py", "./app/lib/fast.so"}}, nil, []string{".venv/", "lib/fast.so"}},
		{"declared", [][]string{{"app/.venv/bin/python", "app/lib/fast.so"}}, []string{".venv/", "*.so"}, nil},
		{"removed by a later layer", [][]string{{"app/a.so", "app/d/b.so"}, {"app/.wh.a.so", "app/.wh.d"}}, nil, nil},
		{"hidden by a later layer", [][]string{{"app/a.so"}, {"app/.wh..wh..opq", "app/b.so"}}, nil, []string{"b.so"}},
		{"removed with the folder above", [][]string{{"app/a.so"}, {".wh.app"}, {"app/c.so"}}, nil, []string{"c.so"}},
		{"bytecode", [][]string{{"app/__pycache__/a.pyc"}}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Resolver{Cache: t.TempDir()}
			result := &Result{Runtimes: []Runtime{{Target: targets(t, "i")[0], Image: "i", Base: &Base{Images: []v1.Image{built(t, c.layers...)}}}}}
			for _, round := range []string{"first", "from the cache"} {
				err := r.Hidden(t.Context(), result, code.Index, tree.ParsePatterns(c.declared), quiet{})
				var hidden *HiddenError
				if c.want == nil && err != nil || c.want != nil && !errors.As(err, &hidden) {
					t.Fatalf("%s: err = %v", round, err)
				}
				if c.want != nil {
					if diff := cmp.Diff(c.want, hidden.Paths); diff != "" {
						t.Errorf("%s: %s", round, diff)
					}
				}
			}
		})
	}
}
