package scaffold

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// work is the workload that a bundle is to have.
type work struct {
	command    []string
	where      string
	codePath   string // below the project's folder
	codeWhere  string
	mountPath  string
	env        []Variable
	launcher   string
	namespace  string // that its manifest names
	deepSpeed  bool   // it is started by torchrun in place of DeepSpeed's launcher
	pods       int    // in the base: what a laptop runs
	wantPods   int    // what the project asks for, in production
	wantProcs  int    // processes of a pod there
	ranksWhere string
	gpu        string // where the code names CUDA
	uses       uses
	notes      []string
}

// names are what training scripts are called, the likelier first.
var names = []string{"train.py", "main.py", "run.py", "finetune.py", "pretrain.py", "run_training.py", "train_model.py", "training.py"}

// markers are files of a project of its own.
var markers = []string{"requirements.txt", "pyproject.toml", "environment.yml", "environment.yaml", "Dockerfile", "kubectl-ai.yaml", "setup.py", "Pipfile"}

// workload finds out how the project is started.
func (s *survey) workload(entry string) (*work, error) {
	w := &work{codePath: ".", mountPath: defaultMount, pods: 1}
	if c := s.container; c != nil {
		w.mountPath = c.mountPath()
		w.codePath, w.codeWhere = c.codePath(s)
		if !c.Built {
			w.env = c.Env
		}
	}
	if err := s.start(w, entry); err != nil {
		return nil, err
	}
	s.size(w)
	return w, nil
}

// start decides on the command: what was named, else what the image runs, else
// a launch line, else a script that pyproject.toml declares, else the file that
// looks like it.
func (s *survey) start(w *work, entry string) error {
	if entry != "" {
		return s.named(w, entry)
	}
	if c := s.container; c != nil && len(c.Command) > 0 {
		w.command, w.where = c.Command, fmt.Sprintf("%s:%d", c.Path, c.CommandLine)
		in := func(name string) string { return path.Join(w.codePath, strings.TrimPrefix(name, w.mountPath+"/")) }
		if l := ParseLaunch(c.Command, func(name string) bool { return s.files[in(name)] }); l != nil {
			l.Where = w.where
			s.launch(w, l)
			w.uses = s.reach(s.fileOf(l.Module, in(l.Script))...)
			if !l.Module && strings.HasSuffix(l.Script, ".py") && !s.files[in(l.Script)] {
				w.notes = append(w.notes, fmt.Sprintf("%s starts %s, which the code does not have", w.where, l.Script))
			}
		} else {
			w.uses = s.reach()
		}
		return nil
	}
	launches := s.launches()
	if l := s.chosen(launches); l != nil {
		s.launch(w, l)
		w.uses = s.reach(s.fileOf(l.Module, l.Script)...)
		return nil
	}
	if s.declared(w) {
		return nil
	}
	return s.guess(w)
}

// declared starts the script of pyproject.toml that trains, if that is one.
func (s *survey) declared(w *work) bool {
	type found struct {
		Script
		file *script
	}
	var train []found
	for _, d := range s.requirements.Scripts {
		for _, name := range s.fileOf(true, d.Module) {
			if path.Base(name) == "__main__.py" || asideOf(name) || !slices.ContainsFunc(s.reach(name), (*script).trains) {
				continue
			}
			train = append(train, found{d, s.python[name]})
			break
		}
	}
	if len(train) > 1 { // one that says so by its name
		train = slices.DeleteFunc(train, func(f found) bool { return !strings.Contains(f.Name, "train") && !strings.Contains(f.Name, "fit") })
	}
	if len(train) != 1 {
		return false
	}
	chosen := train[0]
	s.run(w, chosen.file, "")
	w.where = fmt.Sprintf("pyproject.toml:%d (script %s)", chosen.Line, chosen.Name)
	if chosen.file.guard == 0 || w.command[1] != "-m" {
		// What pip writes for it, since the project itself is not installed.
		attribute, _, _ := strings.Cut(chosen.Function, ".")
		w.command = []string{"python3", "-c", fmt.Sprintf("import sys; from %s import %s; sys.exit(%s())", chosen.Module, attribute, chosen.Function)}
	}
	return true
}

// named starts what --entry names: a file or a module.
func (s *survey) named(w *work, entry string) error {
	file := path.Clean(strings.TrimPrefix(entry, "./"))
	if s.python[file] == nil {
		files := s.fileOf(true, entry)
		if len(files) == 0 {
			return &EntryError{Entry: entry, Known: s.scripts}
		}
		file = files[len(files)-1]
	}
	s.run(w, s.python[file], "--entry")
	return nil
}

// fileOf returns the files that a script or a module starts with.
func (s *survey) fileOf(module bool, name string) []string {
	if !module {
		return []string{path.Clean(name)}
	}
	var out []string
	for _, root := range []string{".", "src"} {
		at := path.Join(root, strings.ReplaceAll(name, ".", "/"))
		for _, file := range []string{at + ".py", at + "/__init__.py", at + "/__main__.py"} {
			if s.python[file] != nil {
				out = append(out, file)
			}
		}
	}
	return out
}

// chosen is the launch line that is meant: one with a launcher, or one that
// starts a script which trains. The README's own are only asked for launchers.
func (s *survey) chosen(all []*Launch) *Launch {
	for _, l := range all {
		if l.Launcher() != launcherNone && len(s.fileOf(l.Module, l.Script)) > 0 {
			return l
		}
	}
	for _, l := range all {
		if strings.HasPrefix(strings.ToLower(path.Base(l.Where)), "readme") {
			continue
		}
		for _, file := range s.fileOf(l.Module, l.Script) {
			if p := s.python[file]; p != nil && !asideOf(file) && (slices.Contains(names, path.Base(file)) || p.guard > 0 && p.trains()) {
				return l
			}
		}
	}
	return nil
}

// launch takes a launch line over.
func (s *survey) launch(w *work, l *Launch) {
	w.command, w.where, w.launcher = nil, l.Where, l.Launcher()
	w.command = append(w.command, l.Program...)
	if w.launcher == launcherAccelerate {
		w.command = append(w.command, "--num_processes", "$(NUM_PROCESSES)")
		if l.Nodes > 1 {
			w.command = append(w.command, "--num_machines", "$(WORLD_SIZE)", "--machine_rank", "$(RANK)", "--main_process_ip", "$(MASTER_ADDR)", "--main_process_port", "$(MASTER_PORT)")
		}
	}
	w.command = append(w.command, l.Flags...)
	if l.Module {
		w.command = append(w.command, "-m")
	}
	w.command = append(append(w.command, l.Script), l.Args...)
	if l.Nodes > 1 {
		w.pods, w.wantPods, w.ranksWhere = 2, l.Nodes, l.Where
	}
	if l.Processes > 1 {
		w.wantPods, w.wantProcs, w.ranksWhere = max(l.Nodes, 1), l.Processes, l.Where
	}
	w.deepSpeed = l.DeepSpeed
	if len(l.Unset) > 0 {
		w.notes = append(w.notes, fmt.Sprintf("%s leaves %s to its caller: set it under env in base/job.yaml", l.Where, "$"+strings.Join(l.Unset, ", $")))
	}
}

// guess finds the file that trains by its name and its look.
func (s *survey) guess(w *work) error {
	for _, name := range names[:3] { // at the top
		if p := s.python[name]; p != nil {
			s.run(w, p, "by its name")
			return nil
		}
	}
	if err := s.monorepo(); err != nil {
		return err
	}
	if found := s.modules(); len(found) == 1 {
		s.run(w, found[0], "a package with a __main__")
		return nil
	} else if len(found) > 1 {
		return ambiguous(found)
	}
	for _, name := range names {
		var found []*script
		for _, file := range s.scripts {
			if p := s.python[file]; path.Base(file) == name && !asideOf(file) && p.trains() {
				found = append(found, p)
			}
		}
		if len(found) == 1 {
			s.run(w, found[0], "by its name")
			return nil
		} else if len(found) > 1 {
			return ambiguous(found)
		}
	}
	for _, rule := range []struct {
		reason string
		holds  func(*script) bool
	}{
		{"a __main__ guard and a training loop", func(p *script) bool { return p.guard > 0 && p.trains() }},
		{"a training loop", func(p *script) bool { return path.Dir(p.path) == "." && p.trains() }},
	} {
		var found []*script
		for _, file := range s.scripts {
			if p := s.python[file]; !asideOf(file) && rule.holds(p) {
				found = append(found, p)
			}
		}
		if len(found) == 1 {
			s.run(w, found[0], rule.reason)
			return nil
		} else if len(found) > 1 {
			return ambiguous(found)
		}
	}
	switch {
	case len(s.scripts) > 0:
		return &NoEntryError{Scripts: s.scripts}
	case len(s.notebooks) > 0:
		return s.onlyNotebooks()
	}
	return &NoCodeError{Has: s.has()}
}

func ambiguous(found []*script) error {
	e := &AmbiguousError{}
	for _, p := range found {
		e.Entries = append(e.Entries, p.path)
	}
	return e
}

// modules are packages that `python -m` starts.
func (s *survey) modules() (found []*script) {
	for _, file := range s.scripts {
		dir := path.Dir(file)
		if path.Base(file) == "__main__.py" && !asideOf(file) && (path.Dir(dir) == "." || path.Dir(dir) == "src") {
			found = append(found, s.python[file])
		}
	}
	return found
}

// run starts a script: as a module where it is part of a package.
func (s *survey) run(w *work, p *script, reason string) {
	line := max(p.guard, 1)
	w.where = fmt.Sprintf("%s (%s)", p.at(line), reason)
	w.uses = s.reach(p.path)
	dir := path.Dir(p.path)
	if s.python[path.Join(dir, "__init__.py")] == nil && path.Base(p.path) != "__main__.py" {
		w.command = []string{"python3", below(w.codePath, p.path)}
		return
	}
	root := dir
	for root != "." && (root == dir || s.python[path.Join(root, "__init__.py")] != nil) {
		root = path.Dir(root)
	}
	module := strings.TrimSuffix(strings.TrimSuffix(below(root, p.path), ".py"), "/__main__")
	w.command = []string{"python3", "-m", strings.ReplaceAll(module, "/", ".")}
	if root = below(w.codePath, root); root != "." {
		w.env = append(w.env, Variable{"PYTHONPATH", path.Join(w.mountPath, root)})
	}
}

// below names a path from dir on.
func below(dir, name string) string {
	if dir == "." {
		return name
	}
	if name == dir {
		return "."
	}
	return strings.TrimPrefix(name, dir+"/")
}

// size decides on ranks and GPUs.
func (s *survey) size(w *work) {
	w.gpu = w.uses.gpu()
	if w.gpu == "" && s.container != nil && strings.Contains(s.container.Base, "cuda") {
		w.gpu = fmt.Sprintf("%s:%d", s.container.Path, s.container.BaseLine)
	}
	if where := w.uses.ranks(); where != "" && w.pods == 1 && w.launcher == launcherNone {
		w.pods, w.ranksWhere = 2, where
	}
}

// monorepo refuses a folder whose projects are in folders below it.
func (s *survey) monorepo() error {
	var dirs []string
	for file := range s.files {
		dir := path.Dir(file)
		if dir != "." && slices.Contains(markers, path.Base(file)) && !asideOf(file) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		// Scripts of that name in several folders are as many projects.
		if dir != "." && path.Base(file) == "train.py" && s.python[path.Join(dir, "__init__.py")] == nil && !asideOf(file) && !slices.Contains(dirs, dir) && s.others(dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	e := &MonorepoError{}
	for _, dir := range dirs {
		sub, err := fs.Sub(s.fsys, dir)
		if err != nil {
			continue
		}
		project, err := look(sub)
		if err != nil {
			continue // what is wrong with it, it says when it is named
		}
		if w, err := project.workload(""); err == nil {
			e.Projects = append(e.Projects, Finding{"project", dir, strings.Join(w.command, " ")})
		}
	}
	if len(e.Projects) == 0 || len(e.Projects) == 1 && s.isProject() {
		return nil
	}
	return e
}

// others tells whether a folder elsewhere has a train.py too.
func (s *survey) others(dir string) bool {
	return slices.ContainsFunc(s.scripts, func(file string) bool {
		return path.Base(file) == "train.py" && path.Dir(file) != dir && !asideOf(file)
	})
}

// isProject tells whether the top itself is marked as a project.
func (s *survey) isProject() bool {
	return slices.ContainsFunc(markers, func(name string) bool { return s.files[name] })
}
