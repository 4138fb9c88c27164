package scaffold

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// manifestFolders are those of a project that may hold its kustomizations;
// one below another folder is of a project of its own.
var manifestFolders = []string{
	"base", "overlays", "kustomize", "k8s", "kubernetes", "deploy", "deployment", "deployments", "manifests", "infra", "ops", "environments",
}

// called are the names that overlays of our environments go by.
var called = map[string][]string{
	project.Sandbox:    {"sandbox", "dev", "development", "local"},
	project.Production: {"production", "prod", "live"},
}

// ours keeps the kustomizations of the project itself.
func (s *survey) ours() {
	s.kustomizations = slices.DeleteFunc(s.kustomizations, func(dir string) bool {
		top, _, _ := strings.Cut(dir, "/")
		return dir != "." && !slices.Contains(manifestFolders, top)
	})
	slices.Sort(s.kustomizations)
}

// layout is which kustomization is which.
type layout struct {
	base     string
	overlays map[string]string // environment -> folder, of those that are there
	parent   string            // where overlays are, or go
}

func (s *survey) layout() layout {
	l := layout{overlays: map[string]string{}}
	for _, dir := range s.kustomizations {
		parent := path.Dir(dir)
		switch {
		case slices.Contains([]string{"overlays", "environments", "envs"}, path.Base(parent)):
			l.parent = parent
			for environment, names := range called {
				if slices.Contains(names, path.Base(dir)) && l.overlays[environment] == "" {
					l.overlays[environment] = dir
				}
			}
		case l.base == "" || path.Base(dir) == "base":
			l.base = dir
		}
	}
	if l.parent == "" {
		l.parent = path.Join(path.Dir(l.base), "overlays")
	}
	return l
}

// adopt plans the project file of a project that has its kustomizations, and
// the overlays that it lacks.
func (p *Plan) adopt(s *survey, o Options) error {
	l := s.layout()
	for _, dir := range s.kustomizations {
		p.Adopted = append(p.Adopted, path.Join(dir, "kustomization.yaml"))
	}
	var environments []adopted
	for _, name := range []string{project.Sandbox, project.Production} {
		dir, there := l.overlays[name]
		switch {
		case there:
			p.found("overlay of "+name, dir, "a kustomization that was there")
		case l.base == "":
			continue // only overlays, and none for it
		case l.base == ".": // kustomize lets no overlay below its base
			dir = "."
			p.found("overlay of "+name, dir, "the only kustomization, at the top")
		default:
			dir = path.Join(l.parent, name)
			base := relative(dir, l.base)
			namespace := "" // that of -n, or default
			if name == project.Production {
				namespace = p.Name
			}
			p.add(path.Join(dir, "kustomization.yaml"), kustomization(namespace, []string{base}, ""))
			p.found("overlay of "+name, dir, "new, on "+l.base)
		}
		e := adopted{environment: name, overlay: dir}
		if dir == path.Join("overlays", name) {
			e.overlay = ""
		}
		if name == project.Production && dir == "." {
			e.namespace = p.Name
		}
		environments = append(environments, e)
	}
	from := l.base
	if dir := l.overlays[project.Sandbox]; dir != "" {
		from = dir
	} else if from == "" {
		return &AdoptError{Dir: l.parent + "/" + project.Sandbox}
	}
	w, target, err := p.target(s, o, from)
	if err != nil {
		return err
	}
	if w.namespace != "" { // what the objects name is theirs
		for i := range environments {
			environments[i].namespace = ""
		}
	}
	p.add(project.FileName, templates(p, s, w).project(target, environments...))
	return nil
}

// target finds the container that gets the code, and takes over its command
// and image.
func (p *Plan) target(s *survey, o Options, dir string) (*work, []string, error) {
	objects, err := o.Render(dir)
	if err != nil {
		return nil, nil, err
	}
	choices, err := workload.Explain(objects, "", nil)
	if err != nil {
		return nil, nil, err
	}
	w := &work{codePath: ".", mountPath: defaultMount, pods: 1}
	if c := s.container; c != nil {
		w.mountPath = c.mountPath()
		w.codePath, w.codeWhere = c.codePath(s)
	}
	var found, all []workload.Choice
	for _, c := range choices {
		if c.Reason == workload.InitContainer {
			continue
		}
		all = append(all, c)
		argv := slices.Concat(c.Container.Command(), c.Container.Args())
		if l := ParseLaunch(argv, func(string) bool { return false }); l != nil || strings.Contains(strings.Join(argv, " "), ".py") {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		found = all
	}
	if len(found) != 1 {
		e := &AdoptError{Dir: dir}
		for _, c := range found {
			e.Containers = append(e.Containers, c.String())
		}
		return nil, nil, e
	}
	w.namespace = found[0].Object.GetNamespace()
	c := found[0]
	var target []string
	switch at := c.Container.WorkingDir(); {
	case at != "" && at != "/":
		w.mountPath = at
		if slices.ContainsFunc(all, func(o workload.Choice) bool {
			return o.String() != c.String() && o.Container.WorkingDir() == at
		}) {
			target = []string{c.String()}
		}
	default:
		target = []string{c.String()}
	}
	w.command = slices.Concat(c.Container.Command(), c.Container.Args())
	w.where = fmt.Sprintf("%s in %s", c.String(), dir)
	l := ParseLaunch(w.command, func(name string) bool { return strings.HasSuffix(name, ".py") })
	if l != nil {
		script := strings.TrimPrefix(strings.TrimPrefix(l.Script, w.mountPath), "/")
		files := s.fileOf(l.Module, path.Join(w.codePath, script))
		// A script that is in src/ and is started as train.py: src is the code.
		if w.codePath == "." && !l.Module && !s.files[script] {
			if in := s.under(script); in != "" {
				w.codePath, w.codeWhere = in, path.Join(in, script)
				files = []string{path.Join(in, script)}
			}
		}
		w.uses, w.launcher = s.reach(files...), l.Launcher()
	} else {
		w.uses = s.reach()
	}
	if len(w.command) > 0 {
		p.found("entry point", strings.Join(w.command, " "), w.where)
	}
	p.found("code", w.codePath+" → "+w.mountPath, w.where)
	p.Image = c.Container.Image()
	p.found("runtime image", p.Image, w.where)
	p.Needs = s.needs(w.uses)
	if where, ok := w.uses.torch(); ok {
		p.found("framework", "PyTorch", where)
	}
	p.lacking()
	return w, target, nil
}

// under returns the one folder below which a script is found by that name.
func (s *survey) under(script string) string {
	dir := ""
	for _, file := range s.scripts {
		if rest, ok := strings.CutSuffix(file, "/"+script); ok && !asideOf(file) {
			if dir != "" {
				return "" // in several
			}
			dir = rest
		}
	}
	return dir
}

// relative is a path from one folder of the project to another.
func relative(from, to string) string {
	a, b := strings.Split(from, "/"), strings.Split(to, "/")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	return path.Join(strings.Repeat("../", len(a)), strings.Join(b, "/"))
}
