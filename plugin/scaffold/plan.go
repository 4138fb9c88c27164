package scaffold

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// Options are what a project cannot say of itself.
type Options struct {
	// Name of the project: that of its folder, as a rule.
	Name string
	// Entry is the script or the module that trains, for a project in which
	// several could; empty: it is found out.
	Entry string
	// Render builds a kustomization of the project, by its folder. It is asked
	// only where there is one.
	Render func(dir string) ([]*unstructured.Unstructured, error)
}

// Finding is one thing that was found out, and where.
type Finding struct {
	What  string `json:"what"`  // such as entry point
	Value string `json:"value"` // such as python3 train.py
	Where string `json:"where"` // file:line, or a rule's reason
}

// File is one that a plan adds. Path is below the project's folder, with
// slashes.
type File struct {
	Path    string `json:"path"`
	Content []byte `json:"-"`
}

// Plan is what makes a bundle of a project.
type Plan struct {
	Name     string
	Files    []File // the project file is the last one
	Adopted  []string
	Findings []Finding
	// Image is the runtime image, and Dockerfile what builds it; "" where it
	// is to be pulled.
	Image, Dockerfile string
	// Needs are the packages that the runtime image has to bring.
	Needs []Package
	// Missing says what has to be done by hand before the bundle can run.
	Missing []string
}

// Make plans the bundle of a project. Its errors are *ExistsError,
// *NoCodeError, *NotebookError, *NoEntryError, *AmbiguousError,
// *MonorepoError, *AdoptError, *SyntaxError, and those of reading files.
func Make(fsys fs.FS, o Options) (*Plan, error) {
	name, err := projectName(o.Name)
	if err != nil {
		return nil, err
	}
	if _, err := fs.Stat(fsys, project.FileName); err == nil {
		return nil, &ExistsError{Files: []string{project.FileName}}
	}
	s, err := look(fsys)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Name: name}
	if len(s.kustomizations) > 0 {
		return plan, plan.adopt(s, o)
	}
	if err := s.vacant("base", "overlays"); err != nil {
		return nil, err
	}
	w, err := s.workload(o.Entry)
	if err != nil {
		return nil, err
	}
	return plan, plan.make(s, w)
}

// projectName makes a DNS label of a folder's name, which objects are called by.
func projectName(base string) (string, error) {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(base)), "-")
	// A Service's name begins with a letter, and a Job's gets a suffix.
	if len(validation.IsDNS1035Label(name)) > 0 || len(name) > 40 {
		return "", &NameError{Name: base}
	}
	return name, nil
}

// vacant refuses folders that the bundle's parts would go to and that hold
// something else.
func (s *survey) vacant(folders ...string) error {
	var there []string
	for _, name := range folders {
		if _, err := fs.Stat(s.fsys, name); err == nil {
			there = append(there, name+"/")
		}
	}
	if len(there) > 0 {
		return &ExistsError{Files: there}
	}
	return nil
}

func (p *Plan) found(what, value, where string) {
	p.Findings = append(p.Findings, Finding{what, value, where})
}

func (p *Plan) add(name string, content string) {
	p.Files = append(p.Files, File{Path: name, Content: []byte(content)})
}

// make plans base, overlays and project file for a workload.
func (p *Plan) make(s *survey, w *work) error {
	p.describe(s, w)
	p.runtime(s, w)
	t := templates(p, s, w)
	p.add("base/job.yaml", t.job())
	resources := []string{"job.yaml"}
	if w.pods > 1 {
		p.add("base/service.yaml", t.service())
		resources = append(resources, "service.yaml")
	}
	p.add("base/kustomization.yaml", kustomization("", resources, ""))
	p.add("overlays/sandbox/kustomization.yaml", kustomization("", []string{"../../base"}, ""))
	p.add("overlays/production/namespace.yaml", namespaceManifest(p.Name))
	p.add("overlays/production/kustomization.yaml", kustomization(p.Name, []string{"../../base", "namespace.yaml"}, t.productionPatch()))
	p.add(project.FileName, t.project(nil))
	return nil
}

// describe lists what was found out of the workload.
func (p *Plan) describe(s *survey, w *work) {
	p.found("entry point", strings.Join(w.command, " "), w.where)
	if w.deepSpeed {
		p.found("launcher", "torchrun in place of deepspeed, which starts other nodes by ssh", w.where)
	}
	if w.codePath != "." {
		p.found("code", w.codePath+"/", w.codeWhere)
	}
	if w.pods > 1 || w.wantPods > 1 || w.wantProcs > 1 {
		value := map[bool]string{true: "1 pod", false: fmt.Sprintf("%d pods", w.pods)}[w.pods == 1]
		if w.wantProcs > 1 {
			value += fmt.Sprintf(", in production %d with %d processes each", w.wantPods, w.wantProcs)
		} else if w.wantPods > w.pods {
			value += fmt.Sprintf(", in production %d", w.wantPods)
		}
		p.found("ranks", value, w.ranksWhere)
	}
	if where, ok := w.uses.torch(); ok {
		p.found("framework", "PyTorch", where)
	}
	if w.gpu != "" {
		p.found("GPU", "1 for each pod", w.gpu)
	}
	if d := s.requirements; d.File != "" {
		p.found("requirements", fmt.Sprintf("%d packages", len(d.Packages)), d.File)
	}
}

// runtime decides on the image, and plans a Dockerfile where packages are
// needed and the project has none.
func (p *Plan) runtime(s *survey, w *work) {
	p.Needs = s.needs(w.uses)
	switch c := s.container; {
	case c != nil && c.Built:
		p.Image, p.Dockerfile = p.Name+":1", c.Path
		p.Adopted = append(p.Adopted, c.Path)
		p.found("runtime image", p.Image, fmt.Sprintf("%s, on %s", c.Path, c.Base))
		if c.hidden != "" {
			p.Missing = append(p.Missing, c.hidden)
		}
	case c != nil:
		p.Image = c.Base
		p.Adopted = append(p.Adopted, c.Path)
		p.found("runtime image", p.Image, fmt.Sprintf("%s:%d; the rest of it copies code", c.Path, c.BaseLine))
	case len(p.Needs) > 0:
		p.Image, p.Dockerfile = p.Name+":1", "Dockerfile"
		p.add("Dockerfile", s.requirements.dockerfile(p.Needs))
		p.found("runtime image", p.Image, "Dockerfile, which is new: Python and the packages, without the code")
	default:
		p.Image = pythonImage(s.requirements.Python)
		where := "the code needs no package"
		if s.requirements.Python != "" {
			where += "; Python as in " + s.requirements.PythonWhere
		}
		p.found("runtime image", p.Image, where)
	}
	p.lacking()
	p.Missing = append(p.Missing, w.notes...)
}

// lacking says what an image that is known to be bare does not bring.
func (p *Plan) lacking() {
	switch {
	case p.Dockerfile != "" && len(p.Needs) > 0:
		p.Missing = append(p.Missing, fmt.Sprintf("image %s has to be built, with %s", p.Image, Names(p.Needs)))
	case p.Dockerfile != "":
		p.Missing = append(p.Missing, fmt.Sprintf("image %s has to be built", p.Image))
	case len(p.Needs) == 0:
	case bare(p.Image):
		p.Missing = append(p.Missing, fmt.Sprintf("image %s is Python alone and has not: %s", p.Image, Names(p.Needs)))
	}
}

// bare tells Docker's own Python images, which have no packages.
func bare(image string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(image, "docker.io/"), "library/"), ":")
	return name == "python"
}

// Next returns the commands that come next, for a bundle in dir.
func (p *Plan) Next(dir string) []string {
	var out []string
	if p.Dockerfile != "" {
		out = append(out, BuildCommand(p.Image, p.Dockerfile, dir))
	}
	arg := ""
	if path.Clean(dir) != "." {
		arg = " " + dir
	}
	return append(out, "kubectl ai sandbox create", "kubectl ai dev"+arg)
}

// BuildCommand builds the runtime image of the bundle in dir.
func BuildCommand(image, dockerfile, dir string) string {
	if dockerfile == "Dockerfile" {
		return fmt.Sprintf("docker build -t %s %s", image, dir)
	}
	return fmt.Sprintf("docker build -t %s -f %s %s", image, path.Join(dir, dockerfile), dir)
}

// Paths returns the files' names, sorted.
func (p *Plan) Paths() []string {
	var out []string
	for _, f := range p.Files {
		out = append(out, f.Path)
	}
	slices.Sort(out)
	return out
}
