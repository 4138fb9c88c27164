package generation

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// under is a volume on which a process runs in generation 1 while others
// become current.
type under struct {
	*Store
	t     *testing.T
	dir   string
	files map[string]string
}

func newUnder(t *testing.T) *under {
	t.Helper()
	dir := t.TempDir()
	u := &under{Store: open(t, dir), t: t, dir: dir, files: map[string]string{"train.py": "1", "pkg/a.py": "a", "config": "0"}}
	deliver(t, u.Store, 1, u.files)
	return u
}

// next makes another generation current.
func (u *under) next(number uint64, runsOn bool) {
	u.t.Helper()
	u.files["config"] = fmt.Sprint(number)
	index, contents := code(u.files)
	stage(u.t, u.Store, number, index, contents)
	if err := u.commit(number, runsOn); err != nil {
		u.t.Fatal(err)
	}
}

func (u *under) write(full, text string) {
	u.t.Helper()
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		u.t.Fatal(err)
	}
}

// reads fails unless each path holds its own name as a program wrote it.
func (u *under) reads(dir string, paths ...string) {
	u.t.Helper()
	for _, p := range paths {
		if raw, err := os.ReadFile(filepath.Join(dir, p)); err != nil || string(raw) != p {
			u.t.Errorf("%s in %s holds %q: %v", p, dir, raw, err)
		}
	}
}

func TestWhatAProcessWritesUnderLaterGenerationsIsKept(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("the container is restarted: %v", restarted), func(t *testing.T) {
			u := newUnder(t)
			own := u.Path(1) // the working directory of the process
			u.write(own+"/out/1", "out/1")
			u.write(own+"/pkg/log", "pkg/log")
			half, err := os.Create(own + "/ckpt.tmp")
			if err != nil {
				t.Fatal(err)
			}
			defer half.Close()

			u.next(2, true)
			if got := content(t, u.dir, "config"); got != "2" {
				t.Errorf("the mount shows config %q", got)
			}
			if got := content(t, own, "config"); got != "0" {
				t.Errorf("the process's own folder shows config %q", got)
			}
			// Nothing was moved under the process: a checkpoint that it was
			// about to rename is one.
			half.WriteString("ckpt")
			if err := os.Rename(own+"/ckpt.tmp", own+"/ckpt"); err != nil {
				t.Fatal(err)
			}
			for _, seen := range []string{u.dir, u.Path(2), own} {
				u.reads(seen, "out/1", "pkg/log")
			}
			u.write(own+"/later/2", "later/2")
			u.write(u.dir+"/pkg/absolute", "pkg/absolute") // through the link of the current generation
			u.write(u.dir+"/top", "top")

			for n := uint64(3); n < 12; n++ { // more than are kept
				u.next(n, true)
				u.reads(u.dir, "out/1", "later/2", "pkg/log", "pkg/absolute", "top", "ckpt")
				u.reads(own, "out/1", "later/2", "pkg/log", "ckpt")
			}
			if entries, _ := os.ReadDir(filepath.Join(u.dir, gens)); len(entries) > 2*(keep+3) {
				t.Errorf("%d entries of old generations are left", len(entries))
			}
			// A link to the output, renamed as if it were the output.
			if err := os.Rename(u.dir+"/pkg/log", u.dir+"/pkg/renamed"); err != nil {
				t.Fatal(err)
			}
			u.write(own+"/last", "last")
			if restarted {
				u.Close()
				u.Store = open(t, u.dir)
				u.reads(u.Path(11), "last", "out/1", "later/2", "pkg/absolute", "top", "ckpt")
			}
			u.next(12, false)
			for _, seen := range []string{u.dir, u.Path(12)} {
				u.reads(seen, "out/1", "later/2", "pkg/absolute", "top", "ckpt", "last")
				if got := content(t, seen, "pkg/renamed"); got != "pkg/log" {
					t.Errorf("what was renamed holds %q", got)
				}
			}
			for n := uint64(13); n < 20; n++ {
				u.next(n, false)
			}
			u.reads(u.dir, "out/1", "later/2", "pkg/absolute", "top", "ckpt", "last")
			if _, err := os.Stat(own); err == nil {
				t.Error("the process's folder is there for ever")
			}
		})
	}
}

// The flip fails when all else is done: what programs see at the mount stays.
func TestAFlipThatFailsLeavesTheMountAsItWas(t *testing.T) {
	u := newUnder(t)
	u.files["old.py"] = "old"
	u.next(2, false)
	u.write(u.Path(2)+"/out", "out")
	u.write(u.Path(2)+"/pkg/log", "pkg/log")
	u.next(3, false) // the outputs are home

	delete(u.files, "old.py")
	u.files["out"], u.files["pkg/log"], u.files["new.py"] = "code now", "code too", "new"
	index, contents := code(u.files)
	stage(t, u.Store, 4, index, contents)
	stone := filepath.Join(u.dir, own, "current.next", "in-the-way")
	u.write(stone, "")
	if err := u.Commit(4); err == nil {
		t.Fatal("the flip succeeded over a folder in its way")
	}
	for _, seen := range []string{u.dir, u.Path(3)} {
		u.reads(seen, "out", "pkg/log")
		if got := content(t, seen, "old.py"); got != "old" {
			t.Errorf("old.py holds %q in %s", got, seen)
		}
	}
	if err := os.RemoveAll(filepath.Dir(stone)); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(4); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{"out": "code now", "pkg/log": "code too", "new.py": "new"} {
		if got := content(t, u.dir, p); got != want {
			t.Errorf("%s holds %q, want %q", p, got, want)
		}
	}
	if _, err := os.Lstat(filepath.Join(u.dir, "old.py")); err == nil {
		t.Error("the mount still has old.py")
	}
	u.reads(filepath.Join(u.dir, data), "out", "pkg/log")
}
