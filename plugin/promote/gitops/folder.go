package gitops

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Written says what Write did.
type Written struct {
	Changed   []string `json:"changed"` // new ones too
	Removed   []string `json:"removed"`
	Unchanged int      `json:"unchanged"`
}

// Write brings a folder to the files: what differs is written, each file at
// once, and what a former run wrote and is not wanted any more is removed. It
// returns a *ForeignError for a folder that somebody else keeps.
func (f Files) Write(dir string) (Written, error) {
	former, err := formerFiles(dir)
	if err != nil {
		return Written{}, err
	}
	w := Written{Changed: []string{}, Removed: []string{}}
	// The list comes last: whoever reads in between finds all that it names.
	names := slices.DeleteFunc(f.Names(), func(name string) bool { return name == kustomization })
	for _, name := range append(names, kustomization) {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if now, err := os.ReadFile(target); err == nil && bytes.Equal(now, f[name]) {
			w.Unchanged++
			continue
		}
		if err := replace(target, f[name]); err != nil {
			return w, fmt.Errorf("write %s: %w", target, err)
		}
		w.Changed = append(w.Changed, name)
	}
	for _, name := range former {
		if _, ok := f[name]; ok {
			continue
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.Remove(target); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return w, fmt.Errorf("remove a file of a former promotion: %w", err)
		}
		w.Removed = append(w.Removed, name)
		_ = os.Remove(filepath.Dir(target)) // when that was its last file
	}
	return w, nil
}

// formerFiles returns what a former run wrote; nothing for a new folder.
func formerFiles(dir string) ([]string, error) {
	for _, name := range []string{"kustomization.yml", "Kustomization"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return nil, &ForeignError{Path: filepath.Join(dir, name)}
		}
	}
	path := filepath.Join(dir, kustomization)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the former promotion: %w", err)
	}
	if !bytes.HasPrefix(raw, []byte(header)) {
		return nil, &ForeignError{Path: path}
	}
	var list struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(raw, &list); err != nil {
		return nil, &ForeignError{Path: path}
	}
	// A name that leads out of the folder is not one that Write wrote.
	return slices.DeleteFunc(list.Resources, func(name string) bool {
		return !filepath.IsLocal(filepath.FromSlash(name)) || !strings.HasSuffix(name, ".yaml")
	}), nil
}

func replace(target string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(target), ".new-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
