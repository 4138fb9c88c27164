package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/kustomize/api/konfig"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
)

// Overlay is one that takes a component, in a form.
type Overlay struct {
	Environment string
	Dir         string // absolute
	Variant     string
}

// Added is what Add did. Paths are below the bundle's folder, with slashes.
type Added struct {
	Written   []string // files that are new
	Unchanged []string // files that were there, the same
	Edited    []string // kustomizations that take the component now
}

// Add copies the forms of a component that overlays take into the bundle at
// root, and names them in the overlays' kustomizations. It returns a
// *ChangedError rather than write over a file that differs, a
// *KustomizationError for one that it cannot edit, and a *BreaksError when an
// overlay would not render; the bundle is as it was then.
func Add(root string, c components.Component, overlays []Overlay, o bundle.Options) (Added, error) {
	var folders []string
	for _, overlay := range overlays {
		if _, err := c.Variant(overlay.Variant); err != nil {
			return Added{}, err
		}
		folders = append(folders, overlay.Variant)
	}
	if len(folders) == 0 {
		return Added{}, &NoOverlayError{Dir: root}
	}
	files, err := c.Files(folders...)
	if err != nil {
		return Added{}, err
	}
	var out Added
	change := changes{}
	changed := &ChangedError{Component: c.Name}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(root, "components", c.Name, filepath.FromSlash(name))
		there, err := os.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			change = append(change, edit{path: file, content: files[name]})
			out.Written = append(out.Written, below(root, file))
		case err != nil:
			return Added{}, fmt.Errorf("read component %s: %w", c.Name, err)
		case bytes.Equal(there, files[name]):
			out.Unchanged = append(out.Unchanged, below(root, file))
		default:
			changed.Files = append(changed.Files, below(root, file))
		}
	}
	if len(changed.Files) > 0 {
		return Added{}, changed
	}
	for _, overlay := range overlays {
		file, before, err := kustomizationOf(overlay.Dir)
		if err != nil {
			return Added{}, err
		}
		entry, err := filepath.Rel(overlay.Dir, filepath.Join(root, "components", c.Name, overlay.Variant))
		if err != nil {
			return Added{}, &KustomizationError{File: file, Err: err}
		}
		after, err := take(before, filepath.ToSlash(entry))
		if err != nil {
			return Added{}, &KustomizationError{File: below(root, file), Err: err}
		}
		if !bytes.Equal(before, after) {
			change = append(change, edit{path: file, content: after, before: before})
			out.Edited = append(out.Edited, below(root, file))
		}
	}
	if err := change.do(); err != nil {
		return Added{}, errors.Join(err, change.undo(root))
	}
	for _, overlay := range overlays {
		if _, err := bundle.Render(overlay.Dir, o); err != nil {
			return Added{}, errors.Join(&BreaksError{Component: c.Name, Overlay: below(root, overlay.Dir), Err: err}, change.undo(root))
		}
	}
	return out, nil
}

// kustomizationOf returns the kustomization in a folder.
func kustomizationOf(dir string) (string, []byte, error) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := filepath.Join(dir, name)
		raw, err := os.ReadFile(file)
		if err == nil {
			return file, raw, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, &KustomizationError{File: file, Err: err}
		}
	}
	return "", nil, &KustomizationError{File: dir, Err: errors.New("no kustomization.yaml")}
}

// edit is a file as it is to be; before is nil for a new one.
type edit struct {
	path            string
	content, before []byte
}

type changes []edit

func (c changes) do() error {
	for _, e := range c {
		if err := os.MkdirAll(filepath.Dir(e.path), 0o755); err != nil {
			return fmt.Errorf("make the component's folder: %w", err)
		}
		if err := os.WriteFile(e.path, e.content, 0o644); err != nil {
			return fmt.Errorf("write the component: %w", err)
		}
	}
	return nil
}

// undo brings back what was there, and takes away files and the folders that
// are empty without them.
func (c changes) undo(root string) error {
	var problems []error
	for _, e := range c {
		if e.before != nil {
			problems = append(problems, os.WriteFile(e.path, e.before, 0o644))
			continue
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
		for dir := filepath.Dir(e.path); dir != root && os.Remove(dir) == nil; dir = filepath.Dir(dir) {
		}
	}
	return errors.Join(problems...)
}

// below names a path from root on, with slashes.
func below(root, file string) string {
	if rel, err := filepath.Rel(root, file); err == nil {
		return filepath.ToSlash(rel)
	}
	return file
}
