package carrier

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// newCode writes a tree and scans it. A name that ends in * is executable, one
// with an arrow is a link.
func newCode(t *testing.T, files map[string]string, links map[string]string) folder {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		mode := os.FileMode(0o644)
		if name[len(name)-1] == '*' {
			name, mode = name[:len(name)-1], 0o755
		}
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return scanned(t, root)
}

// folder is code with the folder that it is in.
type folder struct {
	Code
	Root string
}

func scanned(t *testing.T, root string) folder {
	t.Helper()
	index, err := tree.Scan(t.Context(), root, tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return folder{Folder(root, index), root}
}

var sample = map[string]string{"train.py": "print(1)\n", "run.sh*": "#!/bin/sh\n", "lib/deep/a.py": "x = 1\n", "lib/empty.py": ""}

func TestTheSameTreeIsTheSameLayerWhateverItsTimesAndModes(t *testing.T) {
	a := newCode(t, sample, map[string]string{"link": "lib/empty.py"})
	b := newCode(t, sample, map[string]string{"link": "lib/empty.py"})
	for name, mode := range map[string]os.FileMode{"train.py": 0o600, "lib/empty.py": 0o666, "run.sh": 0o700, "lib": 0o700} {
		if err := os.Chmod(filepath.Join(b.Root, name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(b.Root, name), time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	b = scanned(t, b.Root)
	one, err := newLayer(a.Code, "/app")
	if err != nil {
		t.Fatal(err)
	}
	two, err := newLayer(b.Code, "/app/")
	if err != nil {
		t.Fatal(err)
	}
	if one.digest != two.digest || one.diff != two.diff {
		t.Errorf("%s and %s", one.digest, two.digest)
	}
	if err := validate.Layer(one); err != nil {
		t.Error(err)
	}
}

func TestTheLayerHoldsTheTreeAndHidesTheRest(t *testing.T) {
	l, err := newLayer(newCode(t, sample, map[string]string{"link": "lib/empty.py"}).Code, "/opt/app")
	if err != nil {
		t.Fatal(err)
	}
	content, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s has owner %d:%d and time %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name+" "+h.Linkname)
	}
	want := []string{
		"drwxr-xr-x opt/app/ ",
		"-rw-r--r-- opt/app/.wh..wh..opq ",
		"drwxr-xr-x opt/app/lib/ ",
		"drwxr-xr-x opt/app/lib/deep/ ",
		"-rw-r--r-- opt/app/lib/deep/a.py ",
		"-rw-r--r-- opt/app/lib/empty.py ",
		"Lrwxrwxrwx opt/app/link lib/empty.py",
		"-rwxr-xr-x opt/app/run.sh ",
		"-rw-r--r-- opt/app/train.py ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// flatten unpacks layers one over the other by the rules of the OCI image
// specification (layer.md, Whiteouts) and returns the files.
func flatten(t *testing.T, layers ...[]byte) []string {
	t.Helper()
	files := map[string]bool{}
	for _, l := range layers {
		for r := tar.NewReader(bytes.NewReader(l)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			dir, base := path.Split(h.Name)
			switch {
			case base == ".wh..wh..opq":
				for f := range files {
					if strings.HasPrefix(f, dir) {
						delete(files, f)
					}
				}
			case h.Typeflag != tar.TypeDir:
				files[h.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(files))
}

// A file that the runtime image has where the code goes is not seen.
func TestAStrayFileOfTheRuntimeImageIsHidden(t *testing.T) {
	var base, code bytes.Buffer
	w := tar.NewWriter(&base)
	for _, name := range []string{"app/stray.py", "app/lib/stray.py", "application/kept", "kept"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writeTar(&code, newCode(t, sample, nil).Code, "/app"); err != nil {
		t.Fatal(err)
	}
	want := []string{"app/lib/deep/a.py", "app/lib/empty.py", "app/run.sh", "app/train.py", "application/kept", "kept"}
	if diff := cmp.Diff(want, flatten(t, base.Bytes(), code.Bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestAnImageTellsItsCodeAndItsBase(t *testing.T) {
	base, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	code := newCode(t, sample, nil)
	l, err := newLayer(code.Code, "/app")
	if err != nil {
		t.Fatal(err)
	}
	img, err := appendCode(base, l, code.Digest())
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	baseDigest, _ := base.Digest()
	want := map[string]string{DigestLabel: code.Digest().String(), BaseLabel: baseDigest.String()}
	if diff := cmp.Diff(want, config.Config.Labels); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(config.Config.Env, DigestVariable+"="+code.Digest().String()) {
		t.Errorf("env = %v", config.Config.Env)
	}
}

func TestCodeThatIsSavedMeanwhileIsNotPromoted(t *testing.T) {
	code := newCode(t, sample, nil)
	if err := os.WriteFile(filepath.Join(code.Root, "train.py"), []byte("print(2)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := newLayer(code.Code, "/app")
	var changed *ChangedError
	if !errors.As(err, &changed) || changed.Path != "train.py" {
		t.Errorf("err = %v", err)
	}
}

func TestANameThatDeletesIsRefused(t *testing.T) {
	_, err := newLayer(newCode(t, map[string]string{"lib/.wh.a": ""}, nil).Code, "/app")
	var unfit *UnfitError
	if !errors.As(err, &unfit) || unfit.Path != "lib/.wh.a" {
		t.Errorf("err = %v", err)
	}
}

func TestWritingATwiceGivesTheSameBytes(t *testing.T) {
	code := newCode(t, sample, nil)
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := writeTar(w, code.Code, "/app"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("they differ")
	}
}
