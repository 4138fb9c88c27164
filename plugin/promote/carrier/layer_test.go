package carrier

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

func code(t *testing.T, mode os.FileMode, at time.Time) (string, tree.Index) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"train.py": "x", "lib/a.py": "y"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("train.py", filepath.Join(dir, "main.py")); err != nil {
		t.Fatal(err)
	}
	index, err := tree.Scan(t.Context(), dir, tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return dir, index
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestTheSameTreeIsTheSameImage(t *testing.T) {
	base, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range []struct {
		mode os.FileMode
		at   time.Time
	}{{0o600, time.Unix(1, 0)}, {0o664, time.Now()}} {
		dir, index := code(t, f.mode, f.at)
		img, err := Append(base, dir, index, "/app")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, digest(t, img))
		config, err := img.ConfigFile()
		if err != nil || config.Config.Labels[DigestLabel] != index.Digest().String() {
			t.Errorf("label = %q, %v", config.Config.Labels[DigestLabel], err)
		}
	}
	if got[0] != got[1] {
		t.Errorf("times and modes change the image: %v", got)
	}
}

// What the base has under mountPath is not in the image.
func TestTheLayerHidesWhatTheBaseHas(t *testing.T) {
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	for _, name := range []string{"app/stray.py", "etc/keep"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	base, err := random.Image(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layerOf(raw.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if base, err = mutate.AppendLayers(base, layer); err != nil {
		t.Fatal(err)
	}
	dir, index := code(t, 0o644, time.Now())
	img, err := Append(base, dir, index, "/app")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	r := tar.NewReader(mutate.Extract(img))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeDir && !strings.Contains(h.Name, ".wh.") {
			names = append(names, h.Name)
		}
	}
	if diff := cmp.Diff([]string{"app/lib/a.py", "app/main.py", "app/train.py", "etc/keep"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestAFileSavedMeanwhileIsNoticed(t *testing.T) {
	dir, index := code(t, 0o644, time.Now())
	if err := os.WriteFile(filepath.Join(dir, "train.py"), []byte("z"), 0o644); err != nil {
		t.Fatal(err)
	}
	base, err := random.Image(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var changed *ChangedError
	if _, err := Append(base, dir, index, "/app"); !errors.As(err, &changed) || changed.Path != "train.py" {
		t.Errorf("err = %v", err)
	}
}

func TestAnImageIsPushedOnce(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	img, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	repository, err := Repository(host+"/team", "digits", "docker.io/library/python:3.11-slim")
	if err != nil || repository != host+"/team/digits/python" {
		t.Fatalf("repository = %s, %v", repository, err)
	}
	b := &Builder{}
	first, pushed, err := b.Push(context.Background(), img, repository)
	if err != nil || !pushed {
		t.Fatalf("first push: %v, %v", pushed, err)
	}
	second, pushed, err := b.Push(context.Background(), img, repository)
	if err != nil || pushed || second != first {
		t.Errorf("second push: %s, %v, %v", second, pushed, err)
	}
	if got, err := b.Resolve(context.Background(), first); err != nil || digest(t, got) != digest(t, img) {
		t.Errorf("resolve what was pushed: %v", err)
	}
	var nowhere *BaseError
	if _, err := b.Resolve(context.Background(), host+"/none:1"); !errors.As(err, &nowhere) {
		t.Errorf("err = %v, want *BaseError", err)
	}
}
