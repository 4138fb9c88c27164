// Package components is the catalogue: kustomize components for the stages of
// a machine-learning life cycle and the systems around them. A component has
// a local form, which runs in a sandbox, and production forms with the same
// names, ports, labels and environment variables, so that code does not
// change.
//
// A component is a folder here, and a new folder is a new component:
//
//	NAME/component.yaml            what it is, read strictly by this package
//	NAME/local/                    kind: Component, for the sandbox
//	NAME/production/               kind: Component, what is chosen by default
//	NAME/production-<variant>/     other production forms
//
// All of it is plain kustomize (kustomize.config.k8s.io/v1alpha1, Component):
// kubectl kustomize renders it without a plugin. Every object carries Label.
package components

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// Label is on every object of a component; its value is the component's name.
const Label = "kubectl-ai.dev/component"

// FileName is the file that describes a component.
const FileName = "component.yaml"

// Local and Production are the variants that every component has.
const (
	Local      = "local"
	Production = "production"
)

//go:embed */*
var embedded embed.FS

// Component is one entry of the catalogue.
type Component struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
	// Variants are in the order of the file: local, production, others.
	Variants []Variant `json:"variants"`
	// Images are those of the local form's containers.
	Images []string `json:"images,omitempty"`
	// Footprint is the memory of the local form, as it was measured.
	Footprint []Footprint `json:"footprint,omitempty"`
	// Notes are what a user has to know, such as what a restart loses.
	Notes []string `json:"notes,omitempty"`

	files fs.FS
}

// Variant is one form of a component.
type Variant struct {
	Folder  string `json:"folder"`
	Summary string `json:"summary"`
	// Needs are the kinds of other projects that the form's objects have.
	Needs []Need `json:"needs,omitempty"`
}

// Need is a kind that an operator brings.
type Need struct {
	Group    string `json:"group"`
	Kind     string `json:"kind"`
	Operator string `json:"operator"` // as its project calls it, such as Strimzi
}

// GroupKind returns the kind.
func (n Need) GroupKind() schema.GroupKind { return schema.GroupKind{Group: n.Group, Kind: n.Kind} }

// Footprint is the memory of a pod's working set, in MiB, rounded up.
type Footprint struct {
	Pod     string `json:"pod"`
	IdleMiB int    `json:"idleMiB"`
	TestMiB int    `json:"testMiB"` // the most under Test
	Test    string `json:"test"`    // what was measured, such as "1,000 messages"
}

// FileError says that a component's description is wrong.
type FileError struct {
	Component string
	Err       error
}

func (e *FileError) Error() string { return fmt.Sprintf("%s/%s: %v", e.Component, FileName, e.Err) }
func (e *FileError) Unwrap() error { return e.Err }

// UnknownError says that the catalogue has no such component.
type UnknownError struct {
	Name  string
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the catalogue has no component %q", e.Name)
}

// UnknownVariantError says that a component has no such form.
type UnknownVariantError struct {
	Component, Variant string
	Known              []string
}

func (e *UnknownVariantError) Error() string {
	return fmt.Sprintf("component %s has no variant %q: it has %s", e.Component, e.Variant, strings.Join(e.Known, ", "))
}

// Catalogue is a folder of components.
type Catalogue struct{ root fs.FS }

// Embedded returns the catalogue that this program carries.
func Embedded() Catalogue { return New(embedded) }

// New returns the catalogue in a file system.
func New(root fs.FS) Catalogue { return Catalogue{root: root} }

// Names returns the names of the components, sorted.
func (c Catalogue) Names() ([]string, error) {
	found, err := fs.Glob(c.root, "*/"+FileName)
	if err != nil {
		return nil, fmt.Errorf("list the catalogue: %w", err)
	}
	names := make([]string, 0, len(found))
	for _, file := range found {
		names = append(names, path.Dir(file))
	}
	slices.Sort(names)
	return names, nil
}

// List returns every component, by name. It returns a *FileError for one that
// is described wrongly.
func (c Catalogue) List() ([]Component, error) {
	names, err := c.Names()
	if err != nil {
		return nil, err
	}
	list := make([]Component, 0, len(names))
	for _, name := range names {
		component, err := c.read(name)
		if err != nil {
			return nil, err
		}
		list = append(list, component)
	}
	return list, nil
}

// Get returns a component, or an *UnknownError.
func (c Catalogue) Get(name string) (Component, error) {
	names, err := c.Names()
	if err != nil {
		return Component{}, err
	}
	if !slices.Contains(names, name) {
		return Component{}, &UnknownError{Name: name, Known: names}
	}
	return c.read(name)
}

func (c Catalogue) read(name string) (Component, error) {
	raw, err := fs.ReadFile(c.root, path.Join(name, FileName))
	if err != nil {
		return Component{}, &FileError{name, err}
	}
	var out Component
	if err := yaml.UnmarshalStrict(raw, &out); err != nil {
		return Component{}, &FileError{name, err}
	}
	if out.Name != "" && out.Name != name {
		return Component{}, &FileError{name, fmt.Errorf("name is %q, and the folder is %s", out.Name, name)}
	}
	out.Name = name
	if out.files, err = fs.Sub(c.root, name); err != nil {
		return Component{}, &FileError{name, err}
	}
	if err := out.check(); err != nil {
		return Component{}, &FileError{name, err}
	}
	return out, nil
}

// check compares the description with the folder.
func (c Component) check() error {
	if c.Summary == "" {
		return fmt.Errorf("summary is missing")
	}
	var described []string
	for i, v := range c.Variants {
		if v.Folder == "" || v.Summary == "" {
			return fmt.Errorf("variants[%d]: folder and summary are both needed", i)
		}
		if slices.Contains(described, v.Folder) {
			return fmt.Errorf("variants[%d]: %s is described twice", i, v.Folder)
		}
		for _, n := range v.Needs {
			if n.Group == "" || n.Kind == "" || n.Operator == "" {
				return fmt.Errorf("variants[%d]: a need has group, kind and operator", i)
			}
		}
		described = append(described, v.Folder)
	}
	for _, f := range c.Footprint {
		if f.Pod == "" || f.IdleMiB <= 0 || f.TestMiB < f.IdleMiB || f.Test == "" {
			return fmt.Errorf("footprint of %q: want pod, idleMiB, testMiB of at least that, and test", f.Pod)
		}
	}
	for _, folder := range []string{Local, Production} {
		if !slices.Contains(described, folder) {
			return fmt.Errorf("variant %s is missing", folder)
		}
	}
	found, err := fs.Glob(c.files, "*/kustomization.yaml")
	if err != nil {
		return err
	}
	for i, file := range found {
		found[i] = path.Dir(file)
		if !slices.Contains(described, found[i]) {
			return fmt.Errorf("folder %s is not described", found[i])
		}
	}
	for _, folder := range described {
		if !slices.Contains(found, folder) {
			return fmt.Errorf("variant %s has no folder with a kustomization.yaml", folder)
		}
	}
	return nil
}

// Variant returns a form of the component, or an *UnknownVariantError.
func (c Component) Variant(folder string) (Variant, error) {
	var known []string
	for _, v := range c.Variants {
		if v.Folder == folder {
			return v, nil
		}
		known = append(known, v.Folder)
	}
	return Variant{}, &UnknownVariantError{Component: c.Name, Variant: folder, Known: known}
}

// Files returns the files of some forms, of all without a name, by their path
// inside the component, and with them what these forms are made of. The
// description is not among them: it is the catalogue's, not a bundle's.
func (c Component) Files(folders ...string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(c.files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == FileName {
			return err
		}
		files[name], err = fs.ReadFile(c.files, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read component %s: %w", c.Name, err)
	}
	if len(folders) == 0 {
		return files, nil
	}
	wanted, err := closure(files, folders)
	if err != nil {
		return nil, fmt.Errorf("read component %s: %w", c.Name, err)
	}
	maps.DeleteFunc(files, func(name string, _ []byte) bool {
		folder, _, _ := strings.Cut(name, "/")
		return !wanted[folder]
	})
	return files, nil
}

// closure returns the folders and those that their kustomizations name.
func closure(files map[string][]byte, folders []string) (map[string]bool, error) {
	wanted := map[string]bool{}
	for queue := slices.Clone(folders); len(queue) > 0; queue = queue[1:] {
		folder := queue[0]
		if wanted[folder] {
			continue
		}
		wanted[folder] = true
		var k types.Kustomization
		if err := k.Unmarshal(files[folder+"/kustomization.yaml"]); err != nil {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
		for _, entry := range slices.Concat(k.Resources, k.Components) {
			if other, ok := strings.CutPrefix(path.Join(folder, entry), folder+"/"); !ok && other != folder {
				first, _, _ := strings.Cut(other, "/")
				queue = append(queue, first)
			}
		}
	}
	return wanted, nil
}
