package carrier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Code is a tree and where its contents are.
type Code struct {
	Index tree.Index
	// Content returns the content of a file of the tree.
	Content func(tree.Entry) ([]byte, error)
}

// Folder is code whose contents are in a folder.
func Folder(root string, index tree.Index) Code {
	return Code{Index: index, Content: func(e tree.Entry) ([]byte, error) {
		return os.ReadFile(filepath.Join(root, filepath.FromSlash(e.Path)))
	}}
}

// Digest returns the digest of the tree.
func (c Code) Digest() tree.Digest { return c.Index.Digest() }

// Read returns the content of a file, or a *ChangedError when it is not the
// one that the tree says.
func (c Code) Read(e tree.Entry) ([]byte, error) {
	content, err := c.Content(e)
	if err != nil {
		return nil, fmt.Errorf("pack the code: %w", err)
	}
	if sum := sha256.Sum256(content); !bytes.Equal(sum[:], e.Sum[:]) {
		return nil, &ChangedError{Path: e.Path}
	}
	return content, nil
}

// Carrier is one way of bringing code into pods.
type Carrier interface {
	// Format is its name in the project file.
	Format() string
	// Able returns nil when it can bring the code to the targets, else why
	// not. It changes nothing.
	Able(ctx context.Context, code Code, targets []workload.Target) error
	// Carry edits the targets so that they get the code. Nothing is pushed
	// before Result.Push.
	Carry(ctx context.Context, code Code, targets []workload.Target, r Reporter) (*Result, error)
}

// Choose returns the first of the carriers that is able, and why those before
// it are not. When none is, a lone one's own error is returned, else an
// *UnableError.
func Choose(ctx context.Context, carriers []Carrier, code Code, targets []workload.Target) (Carrier, []Inability, error) {
	var before []Inability
	for _, c := range carriers {
		err := c.Able(ctx, code, targets)
		switch {
		case err == nil:
			return c, before, nil
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case len(carriers) == 1:
			return nil, nil, err
		}
		before = append(before, Inability{Format: c.Format(), Err: err})
	}
	return nil, nil, &UnableError{Inabilities: before}
}

// Result is what carrying the code took.
type Result struct {
	Format string
	// Objects come to those of the bundle.
	Objects []*unstructured.Unstructured
	// Images maps each target to the image that it runs.
	Images map[string]string
	// Code names what holds the code: references by digest, or ConfigMaps.
	Code []string
	// Runtimes are the runtime images, one a target.
	Runtimes []Runtime
	pushes   []push
	attached []attached
	refused  map[string]bool // digests of documents that the registry did not take
}

// Runtime is a target with its image as the bundle names it.
type Runtime struct {
	Target workload.Target
	Image  string
	Base   *Base // nil: neither in its registry nor in the engine of this machine
}

// keep remembers the digest of the tree, the image and its origin.
func (r *Result) keep(t workload.Target, image string, base *Base) {
	if r.Images == nil {
		r.Images = map[string]string{}
	}
	r.Images[t.String()] = t.Container.Image()
	r.Runtimes = append(r.Runtimes, Runtime{Target: t, Image: image, Base: base})
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

// codeVolume is the volume of carriers that mount the code.
const codeVolume = "kubectl-ai-code"

// mount gives a target a volume, read-only at its mount path, and the digest of
// what is in it. Containers of a pod share the volume.
func mount(t workload.Target, source map[string]any, digest tree.Digest) {
	spec := t.Spec()
	volumes, _ := spec["volumes"].([]any)
	if !slices.ContainsFunc(volumes, isCodeVolume) {
		volume := map[string]any{"name": codeVolume}
		for k, v := range source {
			volume[k] = v
		}
		spec["volumes"] = append(volumes, volume)
	}
	c := t.Container.Map()
	mounts, _ := c["volumeMounts"].([]any)
	c["volumeMounts"] = append(mounts, map[string]any{"name": codeVolume, "mountPath": t.MountPath, "readOnly": true})
	setVariable(t.Container, DigestVariable, digest.String())
}

func isCodeVolume(v any) bool {
	m, _ := v.(map[string]any)
	return m["name"] == codeVolume
}

// setVariable gives a container a variable unless it has one of that name.
func setVariable(c workload.Container, name, value string) {
	env, _ := c.Map()["env"].([]any)
	for _, item := range env {
		if m, _ := item.(map[string]any); m["name"] == name {
			return
		}
	}
	c.Map()["env"] = append(env, map[string]any{"name": name, "value": value})
}
