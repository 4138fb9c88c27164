package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
)

// sample is the bundle that the demo goes through.
const sample = "digits"

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
	plan, err := scaffold.FromTemplate(sample)
	if err != nil {
		return false, err
	}
	for i, file := range plan.Files {
		if file.Path == "kubectl-ai.yaml" {
			plan.Files[i].Content = contexts(file.Content, sandbox, production)
		}
	}
	if err := plan.Write(dir); err != nil {
		return false, err
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
