//go:build linux

package pull

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// volume is a code volume on which generation 1 is current.
type volume struct {
	t     *testing.T
	dir   string
	store *generation.Store
	n     uint64
}

func newVolume(t *testing.T) *volume {
	t.Helper()
	v := &volume{t: t, dir: t.TempDir()}
	var err error
	if v.store, err = generation.Open(v.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.store.Close() })
	v.next(false)
	return v
}

// next makes another generation of the same two files current.
func (v *volume) next(runsOn bool) {
	v.t.Helper()
	v.n++
	src := v.t.TempDir()
	for p, content := range map[string]string{"train.py": fmt.Sprint(v.n), "pkg/a.py": "a"} {
		write(v.t, filepath.Join(src, p), content)
	}
	index, err := tree.Scan(v.t.Context(), src, tree.Options{})
	if err != nil {
		v.t.Fatal(err)
	}
	must := func(err error) {
		v.t.Helper()
		if err != nil {
			v.t.Fatal(err)
		}
	}
	must(v.store.Begin(v.n, tree.Digest{}, index.Digest()))
	must(v.store.Change(tree.Changes{Puts: index}))
	for _, e := range index {
		in, err := v.store.Receive(e)
		must(err)
		raw, err := os.ReadFile(filepath.Join(src, e.Path))
		must(err)
		_, err = in.Write(raw)
		must(err)
		must(in.Close())
	}
	_, err = v.store.Stage()
	must(err)
	if runsOn {
		must(v.store.CommitUnder(v.n))
	} else {
		must(v.store.Commit(v.n))
	}
}

func write(t *testing.T, full, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// duplex is a stream made of two.
type duplex struct {
	io.Reader
	io.Writer
}

// fetchFrom brings outputs of a volume over a stream that ends after limit
// bytes, 0 for none.
func fetchFrom(t *testing.T, dir, to string, limit int64, o Options) ([]Item, int64, error) {
	t.Helper()
	root, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ask, asked := io.Pipe()
	answer, answered := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		answered.CloseWithError(Serve(dir, ask, answered))
	}()
	var came int64
	var in io.Reader = answer
	if limit > 0 {
		in = io.LimitReader(in, limit)
	}
	items, err := Fetch(duplex{io.TeeReader(in, counting{&came}), asked}, root, o)
	ask.Close()
	answer.Close()
	<-done
	return items, came, err
}

type counting struct{ n *int64 }

func (c counting) Write(p []byte) (int, error) { *c.n += int64(len(p)); return len(p), nil }

// states returns what became of each path.
func states(items []Item) map[string]string {
	m := map[string]string{}
	for _, i := range items {
		m[i.Path] = i.State
	}
	return m
}

// holds returns what a folder holds, links by their target.
func holds(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		p, _ := filepath.Rel(dir, full)
		if target, err := os.Readlink(full); err == nil {
			m[p] = "-> " + target
			return nil
		}
		raw, err := os.ReadFile(full)
		m[p] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// full is a volume with outputs of all kinds, and what they are.
func full(t *testing.T) (*volume, map[string]string) {
	t.Helper()
	v := newVolume(t)
	at := func() string { return v.store.Path(v.n) }
	write(t, at()+"/out/1.pt", "one")
	write(t, at()+"/pkg/cache", "deep")
	write(t, at()+"/log", "old")
	write(t, at()+"/pkg/__pycache__/a.pyc", "bytecode")
	if err := os.Symlink("1.pt", at()+"/out/latest"); err != nil {
		t.Fatal(err)
	}
	v.next(false)                            // carried home
	os.Remove(at() + "/log")                 // a link of ours
	write(t, at()+"/log", "rewritten")       // since the last save
	write(t, at()+"/pkg/deep/er", "deepest") // not linked to from anywhere
	process := at()
	v.next(true)
	write(t, process+"/under", "by a process that runs on")
	return v, map[string]string{
		"out/1.pt": "one", "out/latest": "-> 1.pt", "pkg/cache": "deep", "log": "rewritten", "pkg/deep/er": "deepest", "under": "by a process that runs on",
	}
}

func TestOutputsComeUnderThePathsOfTheProgram(t *testing.T) {
	v, want := full(t)
	to := t.TempDir()
	items, first, err := fetchFrom(t, v.dir, to, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, holds(t, to)); d != "" {
		t.Error(d)
	}
	for p, state := range states(items) {
		if state != Pulled {
			t.Errorf("%s: %s", p, state)
		}
	}
	again, second, err := fetchFrom(t, v.dir, to, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for p, state := range states(again) {
		if state != Same {
			t.Errorf("again, %s: %s", p, state)
		}
	}
	if second >= first {
		t.Errorf("%d bytes came the first time, %d the second", first, second)
	}
	only := t.TempDir()
	if _, _, err := fetchFrom(t, v.dir, only, 0, Options{Only: tree.ParsePatterns([]string{"/out/"}).Match}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"out/1.pt": "one", "out/latest": "-> 1.pt"}, holds(t, only)); d != "" {
		t.Error(d)
	}
}

func TestAConnectionCutAtAnyByteLeavesNoHalfFile(t *testing.T) {
	v, want := full(t)
	_, whole, err := fetchFrom(t, v.dir, t.TempDir(), 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for limit := int64(1); limit < whole; limit += 61 {
		to := t.TempDir()
		_, _, err := fetchFrom(t, v.dir, to, limit, Options{})
		var cut *CutError
		if got := holds(t, to); err == nil && !cmp.Equal(got, want) || err != nil && !errors.As(err, &cut) {
			t.Fatalf("cut after %d of %d bytes: %v", limit, whole, err)
		}
		for p, content := range holds(t, to) {
			if content != want[p] {
				t.Fatalf("cut after %d bytes: %s holds %q", limit, p, content)
			}
		}
		if _, _, err := fetchFrom(t, v.dir, to, 0, Options{}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, holds(t, to)); d != "" {
			t.Fatal(d)
		}
	}
}

func TestANewerFileIsLeft(t *testing.T) {
	v, _ := full(t)
	to := t.TempDir()
	write(t, filepath.Join(to, "log"), "mine")
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(to, "log"), future, future); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(to, "under"), "older")
	if err := os.Chtimes(filepath.Join(to, "under"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(to, "out/1.pt/in-the-way"), "mine")
	write(t, filepath.Join(to, "pkg"), "a file where a folder has to be")
	items, _, err := fetchFrom(t, v.dir, to, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := states(items)
	want := map[string]string{"log": Newer, "under": Pulled, "out/1.pt": Refused, "out/latest": Pulled, "pkg/cache": Refused, "pkg/deep/er": Refused}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if held := holds(t, to); held["log"] != "mine" || held["under"] == "older" {
		t.Errorf("%q", held)
	}
	if items, _, err = fetchFrom(t, v.dir, to, 0, Options{Force: true}); err != nil || states(items)["log"] != Pulled {
		t.Errorf("by force: %v, %v", items, err)
	}
}

// A file that moves while it is read does not replace what is here.
func TestAFileThatChangesWhileItIsReadIsNone(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "log"), "0123456789")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var stream bytes.Buffer
	fmt.Fprintf(&stream, "%s\n{\"path\":\"log\",\"size\":10}\n{\"path\":\"gone\",\"size\":1}\n\n", magic)
	w := tar.NewWriter(&growing{w: &stream, grow: func() { write(t, filepath.Join(dir, "log"), "longer than before") }})
	for _, p := range []string{"log", "gone"} {
		if err := send(w, root, generation.Output{Path: p, At: p}); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	here, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	items, err := Fetch(duplex{&stream, io.Discard}, here, Options{})
	var changed *ChangedError
	if !errors.As(err, &changed) || !slices.Equal(changed.Paths, []string{"log", "gone"}) {
		t.Errorf("%v, %v", items, err)
	}
	if got := holds(t, to); len(got) > 0 {
		t.Errorf("%q is here", got)
	}
}

// growing changes the file when the first of it is sent.
type growing struct {
	w    io.Writer
	grow func()
	done bool
}

func (g *growing) Write(p []byte) (int, error) {
	if !g.done {
		g.done = true
		g.grow()
	}
	return g.w.Write(p)
}

// A rank that is not what it seems writes nowhere else.
func TestNothingIsWrittenOutsideOfTheFolder(t *testing.T) {
	base := t.TempDir()
	to := filepath.Join(base, "to")
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(base, "secret"), "secret")
	if err := os.Symlink("..", filepath.Join(to, "up")); err != nil { // somebody else's
		t.Fatal(err)
	}
	var list strings.Builder
	fmt.Fprintln(&list, magic)
	for _, l := range []string{
		`{"path":"../x","size":1}`, `{"path":"/x","size":1}`, `{"path":"a/../../x","size":1}`, `{"path":".kubectl-ai/x","size":1}`,
		`{"path":"l","target":"../secret"}`, `{"path":"m","target":"/etc/passwd"}`, `{"path":"d/l","target":"../../secret"}`, `{"path":"up/x","size":1}`,
	} {
		fmt.Fprintln(&list, l)
	}
	fmt.Fprintln(&list)
	var stream bytes.Buffer
	stream.WriteString(list.String())
	w := tar.NewWriter(&stream)
	if err := w.WriteHeader(&tar.Header{Name: "up/x", Size: 1, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("x"))
	if err := trail(w, "up/x", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	root, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	items, err := Fetch(duplex{&stream, io.Discard}, root, Options{})
	for _, i := range items[:7] {
		if i.State != Refused {
			t.Errorf("%s: %s", i.Path, i.State)
		}
	}
	if err == nil && items[7].State == Pulled {
		t.Error("a file came through a link that leads out")
	}
	if got := holds(t, base); len(got) != 2 || got["secret"] != "secret" {
		t.Errorf("%q", got)
	}
}

func TestARankOfAnotherVersionSaysSo(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := Fetch(duplex{strings.NewReader("hello\n"), io.Discard}, root, Options{}); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Error(err)
	}
	refused := errors.New(`exec: unknown command "pull"`)
	if _, err := Fetch(duplex{io.MultiReader(strings.NewReader(""), failing{refused}), io.Discard}, root, Options{}); !errors.Is(err, refused) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
