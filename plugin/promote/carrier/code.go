package carrier

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Code is a scanned tree and the folder it is in.
type Code struct {
	Root  string
	Index tree.Index
}

// Digest returns the digest of the tree.
func (c Code) Digest() tree.Digest { return c.Index.Digest() }

// read returns the content of a file, or a *ChangedError when it is not the
// one that was scanned.
func (c Code) read(e tree.Entry) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(c.Root, filepath.FromSlash(e.Path)))
	if err != nil {
		return nil, fmt.Errorf("pack the code: %w", err)
	}
	if sum := sha256.Sum256(content); !bytes.Equal(sum[:], e.Sum[:]) {
		return nil, &ChangedError{Path: e.Path}
	}
	return content, nil
}

// Result is what carrying the code took.
type Result struct {
	// Images maps each target to the image that it runs.
	Images map[string]string
	pushes []push
}

// uncovered returns a *CoveredError when a volume would hide the code.
func uncovered(targets []workload.Target) error {
	for _, t := range targets {
		mounts, _ := t.Container.Map()["volumeMounts"].([]any)
		for _, item := range mounts {
			mount, _ := item.(map[string]any)
			at, _ := mount["mountPath"].(string)
			at = strings.TrimRight(at, "/")
			if at == t.MountPath || at == "" || strings.HasPrefix(t.MountPath, at+"/") {
				name, _ := mount["name"].(string)
				return &CoveredError{Target: t.String(), MountPath: t.MountPath, Volume: name}
			}
		}
	}
	return nil
}
