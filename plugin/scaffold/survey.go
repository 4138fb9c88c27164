package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Bounds of a survey, so that a folder of data does not take minutes. They
// are chosen: larger than any project that was looked at.
const (
	mostFiles = 20_000
	mostBytes = 1 << 20 // of a file that is read
	mostDepth = 8       // folders below one another
)

// survey is a project as its files are.
type survey struct {
	fsys           fs.FS
	files          map[string]bool
	scripts        []string // of Python, sorted
	python         map[string]*script
	pythonDirs     map[string]bool // that hold some
	notebooks      []string
	kustomizations []string // folders
	texts          []string // where launch lines may stand
	endings        map[string]int
	container      *Container // nil: no Dockerfile
	requirements   Requirements
}

// passed are folders that hold no code of the project.
var passed = []string{"__pycache__", "node_modules", "site-packages", "build", "dist", "wandb", "mlruns", "outputs", "checkpoints"}

// aside are folders whose scripts do not train, though they may look like it.
var aside = []string{"test", "tests", "doc", "docs", "example", "examples", "benchmark", "benchmarks", "notebooks"}

// look walks a project. Hidden folders and virtual environments are passed by.
func look(fsys fs.FS) (*survey, error) {
	s := &survey{fsys: fsys, files: map[string]bool{}, python: map[string]*script{}, pythonDirs: map[string]bool{}, endings: map[string]int{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && name != ".":
			return fs.SkipDir // a folder that is not for us
		case err != nil:
			return fmt.Errorf("look at the project: %w", err)
		case entry.IsDir():
			if name != "." && s.passes(name) {
				return fs.SkipDir
			}
			return nil
		case len(s.files) >= mostFiles:
			return fs.SkipAll
		}
		return s.take(name, entry)
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(s.scripts)
	s.ours()
	if s.container, err = s.readContainer(); err != nil {
		return nil, err
	}
	s.requirements, err = requirements(fsys)
	return s, err
}

func (s *survey) passes(dir string) bool {
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || slices.Contains(passed, base) || strings.Count(dir, "/") >= mostDepth {
		return true
	}
	_, err := fs.Stat(s.fsys, path.Join(dir, "pyvenv.cfg")) // PEP 405
	return err == nil
}

func (s *survey) take(name string, entry fs.DirEntry) error {
	s.files[name] = true
	base, ending := path.Base(name), path.Ext(name)
	if ending != "" && ending != base {
		s.endings[ending]++
	}
	switch {
	case ending == ".py":
		raw, err := s.small(name, entry)
		if err != nil || raw == nil {
			return err
		}
		s.scripts = append(s.scripts, name)
		s.python[name] = readScript(name, raw)
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			s.pythonDirs[dir] = true
		}
	case ending == ".ipynb":
		s.notebooks = append(s.notebooks, name)
	case base == "kustomization.yaml", base == "kustomization.yml", base == "Kustomization":
		raw, err := s.small(name, entry)
		if err != nil {
			return err
		}
		if !bytes.Contains(raw, []byte("kind: Component")) {
			s.kustomizations = append(s.kustomizations, path.Dir(name))
		}
	case ending == ".sh", ending == ".slurm", ending == ".sbatch", base == "Makefile", base == "makefile", base == "justfile", strings.HasPrefix(strings.ToLower(base), "readme") && strings.Count(name, "/") == 0:
		s.texts = append(s.texts, name)
	}
	return nil
}

// small reads a file that is no larger than code is; nil for others.
func (s *survey) small(name string, entry fs.DirEntry) ([]byte, error) {
	info, err := entry.Info()
	if err != nil || !info.Mode().IsRegular() || info.Size() > mostBytes {
		return nil, nil //nolint:nilerr // went meanwhile, a link, or data
	}
	raw, err := fs.ReadFile(s.fsys, name)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the project: %w", err)
	}
	return raw, nil
}

// asideOf tells a file that is not of the training itself.
func asideOf(name string) bool {
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		if slices.Contains(aside, part) {
			return true
		}
	}
	base := path.Base(name)
	return strings.HasPrefix(base, "test_") || strings.HasSuffix(base, "_test.py") || slices.Contains([]string{"setup.py", "conftest.py", "noxfile.py"}, base)
}

// has lists the kinds of files there are, for who looks for code.
func (s *survey) has() []string {
	var out []string
	for _, ending := range slices.SortedFunc(maps.Keys(s.endings), func(a, b string) int { return s.endings[b] - s.endings[a] }) {
		out = append(out, fmt.Sprintf("%d × %s", s.endings[ending], ending))
	}
	return out[:min(len(out), 5)]
}
