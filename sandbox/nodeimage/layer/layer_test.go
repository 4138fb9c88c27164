package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// listing says what is in an archive, in order.
func listing(t *testing.T, r io.Reader) []string {
	t.Helper()
	var lines []string
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, h.FileInfo().Mode().String()+" "+h.Name+" "+h.Linkname+string(content))
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	from := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(from, []byte("binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		entries []Entry
		want    []string
	}{
		{
			"folders above a file are made",
			[]Entry{{Path: "/usr/bin/x", Mode: 0o755, From: from}},
			[]string{"drwxr-xr-x usr/ ", "drwxr-xr-x usr/bin/ ", "-rwxr-xr-x usr/bin/x binary"},
		},
		{
			"a folder that is given keeps its mode",
			[]Entry{{Path: "tmp/a", Mode: 0o644, Content: []byte("a")}, {Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}},
			[]string{"dtrwxrwxrwx tmp/ ", "-rw-r--r-- tmp/a a"},
		},
		{
			"the later of two files counts",
			[]Entry{{Path: "a", Mode: 0o644, Content: []byte("1")}, {Path: "./a", Mode: 0o600, Content: []byte("2")}},
			[]string{"-rw------- a 2"},
		},
		{
			"a folder comes before what is in it, whatever sorts between",
			[]Entry{{Path: "a/b", Mode: 0o644}, {Path: "a-b", Mode: 0o644}},
			[]string{"drwxr-xr-x a/ ", "-rw-r--r-- a-b ", "-rw-r--r-- a/b "},
		},
		{
			"links",
			[]Entry{{Path: "bin/sh", Mode: fs.ModeSymlink, Target: "busybox"}},
			[]string{"drwxr-xr-x bin/ ", "Lrwxrwxrwx bin/sh busybox"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Write(&out, c.entries); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, listing(t, &out)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLayersAreWhatTheySay(t *testing.T) {
	t.Parallel()
	entries := []Entry{{Path: "a", Mode: 0o644, Content: bytes.Repeat([]byte("zz"), 9000)}}
	dir := t.TempDir()
	plain, err := Create(filepath.Join(dir, "plain.tar"), entries)
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := CreateCompressed(filepath.Join(dir, "small.tar.zst"), entries)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := plain.DiffID()
	got, _ := compressed.DiffID()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if a, _ := plain.Size(); a < 18000 {
		t.Errorf("plain: %d bytes", a)
	}
	if b, _ := compressed.Size(); b > 2000 {
		t.Errorf("compressed: %d bytes", b)
	}
	for _, l := range []v1.Layer{plain, compressed} {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		if lines := listing(t, r); len(lines) != 1 {
			t.Errorf("got %d files", len(lines))
		}
		_ = r.Close()
	}
	img, err := NewImage("amd64", v1.Config{Cmd: []string{"a"}}, epoch, plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img, validate.Fast); err != nil {
		t.Error(err)
	}
}

func TestPackFolderKeepsHardLinksAndLeavesOut(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for path, content := range map[string]string{"usr/a": "same", "proc/1": "no", "skip": "no"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"usr/b": "usr/a"} {
		if err := os.Link(filepath.Join(root, target), filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "layer.tar")
	err := PackFolder(name, root, func(path string, _ fs.DirEntry) bool {
		return path != "skip" && filepath.Dir(path) != "proc"
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []string{"Lrwxrwxrwx lib usr", "drwxr-xr-x proc/ ", "drwxr-xr-x usr/ ", "-rw-r--r-- usr/a same", "-rw-r--r-- usr/b usr/a"}
	if diff := cmp.Diff(want, listing(t, f)); diff != "" {
		t.Error(diff)
	}
	read, err := Read(name, func(path string) bool { return path == "usr/b" || path == "usr/a" || path == "lib" })
	if err != nil {
		t.Fatal(err)
	}
	if got := string(read["usr/b"].Content); got != "same" {
		t.Errorf("the hard link reads %q", got)
	}
	if got := read["lib"].Target; got != "usr" {
		t.Errorf("the link points to %q", got)
	}
}
