package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/samples"
)

// sample is the bundle that the demo goes through.
const sample = "digits"

// catalogue is where the sample finds components in the source tree; a copy
// has them beside itself.
const catalogue = "../../../../kustomize/components/"

// Contexts are the two clusters as the sample's project file names them.
const (
	sandboxContext    = "kind-ai"
	productionContext = "kind-ai-production"
)

// write makes the bundle in dir, with the components that its overlays take
// and the contexts of these clusters. What is there already is left as it is:
// the demo goes on with what the user made of it.
func write(dir, sandbox, production string) (written bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, "kubectl-ai.yaml")); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look for a bundle: %w", err)
	}
	source, err := fs.Sub(samples.FS, sample)
	if err != nil {
		return false, fmt.Errorf("read the sample: %w", err)
	}
	taken := map[string]bool{}
	err = fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		switch path.Base(name) {
		case "kustomization.yaml":
			for _, line := range strings.Split(string(content), "\n") {
				if _, rest, ok := strings.Cut(line, catalogue); ok {
					component, _, _ := strings.Cut(rest, "/")
					taken[component] = true
				}
			}
			content = bytes.ReplaceAll(content, []byte(catalogue), []byte("../../components/"))
		case "kubectl-ai.yaml":
			content = contexts(content, sandbox, production)
		}
		return writeFile(filepath.Join(dir, filepath.FromSlash(name)), content)
	})
	if err != nil {
		return false, fmt.Errorf("write the sample: %w", err)
	}
	for name := range taken {
		c, err := components.Embedded().Get(name)
		if err != nil {
			return false, err
		}
		files, err := c.Files()
		if err != nil {
			return false, err
		}
		for file, content := range files {
			if err := writeFile(filepath.Join(dir, "components", name, filepath.FromSlash(file)), content); err != nil {
				return false, fmt.Errorf("write component %s: %w", name, err)
			}
		}
	}
	return true, nil
}

// contexts puts the contexts of two sandboxes into the project file.
func contexts(file []byte, sandbox, production string) []byte {
	lines := bytes.Split(file, []byte("\n"))
	for i, line := range lines {
		key, value, ok := bytes.Cut(line, []byte("context: "))
		switch {
		case !ok:
		case string(value) == sandboxContext:
			lines[i] = append(append(bytes.Clone(key), "context: kind-"...), sandbox...)
		case string(value) == productionContext:
			lines[i] = append(append(bytes.Clone(key), "context: kind-"...), production...)
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

func writeFile(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o644)
}
