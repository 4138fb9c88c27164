package proof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// operations are what can be done to a folder. Each says what it did it to.
var operations = map[string]func(*folder) (string, error){
	"create": func(f *folder) (string, error) {
		p := f.fresh()
		return quote(p), f.root.WriteFile(p, f.bytes(), 0o644)
	},
	"edit in place": func(f *folder) (string, error) {
		p := f.leaf()
		return quote(p), f.root.WriteFile(p, f.bytes(), 0o644)
	},
	"edit by rename": func(f *folder) (string, error) {
		p := f.leaf()
		next := path.Join(path.Dir(p), ".next")
		if err := f.root.WriteFile(next, f.bytes(), 0o644); err != nil {
			return quote(p), err
		}
		return quote(p), f.root.Rename(next, p)
	},
	"edit unseen": func(f *folder) (string, error) { // same size, same times
		p := f.leaf()
		return quote(p), f.editUnseen(p)
	},
	"chmod": func(f *folder) (string, error) {
		p := f.leaf()
		info, err := f.root.Lstat(p)
		if err != nil {
			return quote(p), err
		}
		if !info.Mode().IsRegular() {
			return quote(p), errors.New("no file")
		}
		return quote(p), f.root.Chmod(p, info.Mode().Perm()^0o100)
	},
	"rename": func(f *folder) (string, error) {
		p, to := f.any(), f.fresh()
		return quote(p, to), f.root.Rename(p, to)
	},
	"exchange": func(f *folder) (string, error) { // two paths take each other's place
		a, b := f.any(), f.any()
		return quote(a, b), inOrder(
			func() error { return f.root.Rename(a, ".exchange") },
			func() error { return f.root.Rename(b, a) },
			func() error { return f.root.Rename(".exchange", b) },
		)
	},
	"to folder": func(f *folder) (string, error) {
		p := f.any()
		return quote(p), inOrder(
			func() error { return f.root.RemoveAll(p) },
			func() error { return f.root.MkdirAll(p+"/deep", 0o755) },
			func() error { return f.root.WriteFile(p+"/deep/file", f.bytes(), 0o644) },
			func() error { return f.root.WriteFile(p+"/file", f.bytes(), 0o755) },
		)
	},
	"to file": func(f *folder) (string, error) {
		p := f.any()
		return quote(p), inOrder(
			func() error { return f.root.RemoveAll(p) },
			func() error { return f.root.WriteFile(p, f.bytes(), 0o644) },
		)
	},
	"to link": func(f *folder) (string, error) {
		p := f.any()
		target := []string{"nowhere", "/etc", "/etc/passwd", "../../../../..", ".", "loop", path.Base(p), f.any()}[f.rng.IntN(8)]
		return quote(p, target), inOrder(
			func() error { return f.root.RemoveAll(p) },
			func() error { return f.root.Symlink(target, p) },
		)
	},
	"link again": func(f *folder) (string, error) { // a link's target changes, its length does not
		p := f.fresh()
		_ = f.root.Symlink("target-a", p)
		return quote(p), inOrder(
			func() error { return f.root.Remove(p) },
			func() error { return f.root.Symlink("target-b", p) },
		)
	},
	"hard link": func(f *folder) (string, error) {
		p, to := f.leaf(), f.fresh()
		return quote(p, to), f.root.Link(p, to)
	},
	"recreate": func(f *folder) (string, error) { // with the same content, at once
		p := f.leaf()
		content, err := f.root.ReadFile(p)
		if err != nil {
			return quote(p), err
		}
		return quote(p), inOrder(
			func() error { return f.root.Remove(p) },
			func() error { return f.root.WriteFile(p, content, 0o644) },
		)
	},
	"recreate other": func(f *folder) (string, error) {
		p := f.leaf()
		return quote(p), inOrder(
			func() error { return f.root.Remove(p) },
			func() error { return f.root.WriteFile(p, f.bytes(), 0o755) },
		)
	},
	"sparse": func(f *folder) (string, error) {
		p := f.fresh()
		return quote(p), f.write(p, func(w *os.File) error {
			_, err := w.WriteAt([]byte("end"), 200_000+f.rng.Int64N(800_000))
			return err
		})
	},
	"truncate": func(f *folder) (string, error) { // and append
		p := f.leaf()
		return quote(p), f.write(p, func(w *os.File) error {
			if err := w.Truncate(f.rng.Int64N(100)); err != nil {
				return err
			}
			if _, err := w.Seek(0, io.SeekEnd); err != nil {
				return err
			}
			_, err := w.WriteString("appended")
			return err
		})
	},
	"delete": func(f *folder) (string, error) {
		p := f.any()
		return quote(p), f.root.RemoveAll(p)
	},
	"checkout": func(f *folder) (string, error) {
		branch := f.pick(branches)
		if out, ok := reloadtest.Git(f.t, f.dir, "checkout", "-q", "-f", branch); !ok {
			return branch, fmt.Errorf("git: %.100s", out)
		}
		return branch, nil
	},
}

// order makes the choice of an operation depend on the seed alone.
var order = func() []string {
	var all []string
	for name := range operations {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}()

// editUnseen changes a file's content and leaves its size and times.
func (f *folder) editUnseen(p string) error {
	info, err := f.root.Stat(p)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return errors.New("nothing to change")
	}
	err = f.write(p, func(w *os.File) error {
		_, err := w.WriteAt([]byte{byte(f.rng.Uint32())}, f.rng.Int64N(info.Size()))
		return err
	})
	if err != nil {
		return err
	}
	return f.root.Chtimes(p, info.ModTime(), info.ModTime())
}

func (f *folder) write(p string, do func(*os.File) error) error {
	w, err := f.root.OpenFile(p, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = do(w)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

// inOrder does one thing after another and ends with the first error.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func quote(paths ...string) string { return fmt.Sprintf("%.40q", paths) }
