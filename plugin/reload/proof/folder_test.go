package proof

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// folder is a folder of code that random operations are done to. They go
// through an os.Root: a link out of the folder leads no write out of it.
type folder struct {
	t    *testing.T
	dir  string
	root *os.Root
	rng  *rand.Rand
	made int
	log  []string
	done map[string]int // successes of each operation
}

// keep is never touched, so that the folder is never empty.
const keep = "keep.py"

// most bounds the number of paths.
const most = 150

// names are what users and tools call files. None of them is ignored.
var names = []string{
	"train.py", "data.json", "café.py", "cafe\u0301.py", "日本語", "🔥.py", "with space", " leading", "trailing ", "new\nline", "carriage\rreturn",
	`back\slash`, `\n`, "-rf", "--", `quo"te`, "it's", "$(reboot)", "`x`", "%s%n", "*", "?[a-z]", "#hash", "!bang", ".hidden", "...", "tab\tbed", "~", "a:b", "CON",
	strings.Repeat("long", 50),
}

var branches = []string{"one", "two"}

// newFolder makes a folder that is a repository with two branches.
func newFolder(t *testing.T, dir string, rng *rand.Rand) *folder {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	f := &folder{t: t, dir: dir, root: root, rng: rng, done: map[string]int{}}
	save(t, dir, keep, "kept")
	reloadtest.MustGit(t, dir, "init", "-q", "-b", "one")
	reloadtest.MustGit(t, dir, "config", "gc.auto", "0")
	for i := range 12 {
		save(t, dir, fmt.Sprintf("repo/%d/%s", i%4, names[i]), fmt.Sprintf("one %d", i))
	}
	must(t, root.Symlink("0", "repo/link"))
	reloadtest.MustGit(t, dir, "add", "-A")
	reloadtest.MustGit(t, dir, "commit", "-q", "-m", "one")
	reloadtest.MustGit(t, dir, "checkout", "-q", "-b", "two")
	must(t, root.RemoveAll("repo/0"))
	must(t, root.Remove("repo/link"))
	save(t, dir, "repo/0", "a file where a folder was")
	save(t, dir, "repo/link/file", "a folder where a link was")
	save(t, dir, "repo/1/new", "new")
	for i := range 12 {
		if i%4 > 1 {
			save(t, dir, fmt.Sprintf("repo/%d/%s", i%4, names[i]), fmt.Sprintf("two %d", i))
		}
	}
	reloadtest.MustGit(t, dir, "add", "-A")
	reloadtest.MustGit(t, dir, "commit", "-q", "-m", "two")
	for name := range operations {
		f.done[name] = 0
	}
	return f
}

// step does one operation. One that does not fit what is there counts as
// done all the same: it failed half-way, as programs do.
func (f *folder) step() {
	f.t.Helper()
	name := order[f.rng.IntN(len(order))]
	if files, folders := f.paths(); len(files)+len(folders) > most {
		name = "delete"
	}
	what, err := operations[name](f)
	if err == nil {
		f.done[name]++
	}
	if f.log = append(f.log, fmt.Sprintf("%-12s %s %v", name, what, err)); len(f.log) > 1000 {
		f.log = f.log[500:]
	}
}

func (f *folder) last(n int) string { return strings.Join(f.log[max(0, len(f.log)-n):], "\n") }

// paths lists what is there, as an own walk sees it. The folder itself is ".".
func (f *folder) paths() (leaves, folders []string) {
	err := fs.WalkDir(f.root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.Name() == ".git":
			return fs.SkipDir
		case d.IsDir():
			folders = append(folders, p)
		case p != keep:
			leaves = append(leaves, p)
		}
		return nil
	})
	must(f.t, err)
	return leaves, folders
}

func (f *folder) pick(from []string) string {
	if len(from) == 0 {
		return "nothing there"
	}
	return from[f.rng.IntN(len(from))]
}

// leaf returns a file or link that is there.
func (f *folder) leaf() string {
	leaves, _ := f.paths()
	return f.pick(leaves)
}

// any returns a file, link or folder that is there, but not the top.
func (f *folder) any() string {
	leaves, folders := f.paths()
	return f.pick(append(leaves, folders[1:]...))
}

// fresh returns a path in a folder that is there, often one that is free.
func (f *folder) fresh() string {
	_, folders := f.paths()
	name := f.pick(names)
	if f.rng.IntN(3) == 0 {
		f.made++
		name = fmt.Sprintf("%d %.200s", f.made, name)
	}
	p := path.Join(f.pick(folders), name)
	if strings.Count(p, "/") > 5 {
		p = name
	}
	return p
}

func (f *folder) bytes() []byte {
	size := []int{0, 1, 10, 100, 1000, 5000, 40_000}[f.rng.IntN(7)]
	b := bytes.Repeat([]byte("the same again "), size/15+1)[:size]
	for i := 0; i < size; i += 1 + f.rng.IntN(100) {
		b[i] = byte(f.rng.Uint32())
	}
	return b
}
