package scaffold

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/samples"
)

// catalogue is where samples find components in the source tree; a copy has
// them beside itself.
const catalogue = "../../../../kustomize/components/"

// Templates returns the names of the bundles that FromTemplate copies, with
// the first line of what each says of itself.
func Templates() (names []string, about map[string]string) {
	entries, err := fs.ReadDir(samples.FS, ".")
	if err != nil {
		return nil, nil // an embedded file system always has its root
	}
	about = map[string]string{}
	for _, e := range entries {
		names = append(names, e.Name())
		raw, _ := fs.ReadFile(samples.FS, path.Join(e.Name(), "README.md"))
		_, text, _ := strings.Cut(string(raw), "\n\n")
		text, _, _ = strings.Cut(strings.ReplaceAll(text, "\n", " "), ". ")
		text, _, _ = strings.Cut(text, ": ")
		about[e.Name()] = strings.TrimSuffix(text, ".")
	}
	return names, about
}

// FromTemplate plans a copy of a bundle that this program carries, with the
// components that its overlays take. It returns a *TemplateError.
func FromTemplate(name string) (*Plan, error) {
	known, about := Templates()
	if !slices.Contains(known, name) {
		return nil, &TemplateError{Name: name, Known: known}
	}
	source, err := fs.Sub(samples.FS, name)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	p := &Plan{Name: name}
	p.found("template", name, about[name])
	taken := map[string]bool{}
	var last []File
	err = fs.WalkDir(source, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(source, file)
		if err != nil {
			return err
		}
		switch path.Base(file) {
		case "kustomization.yaml":
			for line := range strings.SplitSeq(string(content), "\n") {
				if _, rest, ok := strings.Cut(line, catalogue); ok {
					component, _, _ := strings.Cut(rest, "/")
					taken[component] = true
				}
			}
			content = bytes.ReplaceAll(content, []byte(catalogue), []byte("../../components/"))
		case project.FileName:
			last = append(last, File{file, content})
			return nil
		case "Dockerfile":
			p.Image, p.Dockerfile = name+":1", file
		case "README.md":
			content = bytes.ReplaceAll(content, []byte("samples/"+name), []byte("."))
		}
		p.Files = append(p.Files, File{file, content})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	for _, component := range slices.Sorted(maps.Keys(taken)) {
		c, err := components.Embedded().Get(component)
		if err != nil {
			return nil, err
		}
		files, err := c.Files()
		if err != nil {
			return nil, err
		}
		for _, file := range slices.Sorted(maps.Keys(files)) {
			p.Files = append(p.Files, File{path.Join("components", component, file), files[file]})
		}
	}
	p.Files = append(p.Files, last...)
	return p, nil
}
