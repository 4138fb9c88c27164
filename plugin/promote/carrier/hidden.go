package carrier

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// hiddenLimit bounds how many files of an image are remembered.
const hiddenLimit = 100_000

// Hidden returns a *HiddenError when runtime images have files below the mount
// paths that the code neither replaces nor declared holds: a .venv, a built
// extension. They are invisible under dev, where a volume lies over them, and
// with every carrier. declared are paths relative to the mount path.
//
// All layers are read once an image; the answer is kept in the cache under the
// image's digest.
func (r *Resolver) Hidden(ctx context.Context, result *Result, index tree.Index, declared tree.Patterns, report Reporter) error {
	asked := map[[2]string]bool{}
	for _, runtime := range result.Runtimes {
		key := [2]string{runtime.Image, runtime.Target.MountPath}
		if runtime.Base == nil || asked[key] {
			continue
		}
		asked[key] = true
		found := map[string]bool{}
		for _, img := range runtime.Base.Images {
			paths, err := r.below(ctx, img, runtime.Target.MountPath, report)
			if err != nil {
				return fmt.Errorf("look what %s has below %s: %w", runtime.Image, runtime.Target.MountPath, err)
			}
			for _, p := range paths {
				if _, replaced := index.Find(p); !replaced && !declared.Match(p) {
					found[p] = true
				}
			}
		}
		if len(found) > 0 {
			return &HiddenError{Image: runtime.Image, MountPath: runtime.Target.MountPath, Paths: folded(slices.Sorted(maps.Keys(found)), index), Files: len(found)}
		}
	}
	return nil
}

// folded names folders that the code has nothing in, in place of their files.
func folded(paths []string, index tree.Index) []string {
	var out []string
	for _, p := range paths {
		name := p
		for i, letter := range p {
			if letter != '/' {
				continue
			}
			at, _ := slices.BinarySearchFunc(index, p[:i+1], func(e tree.Entry, prefix string) int { return strings.Compare(e.Path, prefix) })
			if at == len(index) || !strings.HasPrefix(index[at].Path, p[:i+1]) {
				name = p[:i+1]
				break
			}
		}
		if len(out) == 0 || out[len(out)-1] != name {
			out = append(out, name)
		}
	}
	return out
}

// below lists the files that an image has below a folder, relative to it.
func (r *Resolver) below(ctx context.Context, img v1.Image, mountPath string, report Reporter) ([]string, error) {
	digest, err := img.ConfigName()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(mountPath))
	kept := filepath.Join(r.Cache, "below", fmt.Sprintf("%s-%x.json", digest.Hex, sum[:4]))
	if raw, err := os.ReadFile(kept); err == nil {
		var paths []string
		if json.Unmarshal(raw, &paths) == nil {
			return paths, nil
		}
	}
	report.Note("looking once what the runtime image has below %s", mountPath)
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	listed := make([][]string, len(layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, l := range layers {
		group.Go(func() (err error) {
			listed[i], err = entries(ctx, l, strings.Trim(path.Clean(mountPath), "/")+"/")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	paths := stack(listed)
	if raw, err := json.Marshal(paths); err == nil && r.Cache != "" {
		// What cannot be kept is looked for again.
		if os.MkdirAll(filepath.Dir(kept), 0o755) == nil {
			_ = os.WriteFile(kept, raw, 0o644)
		}
	}
	return paths, nil
}

// entries lists what a layer has below a folder, whiteouts too; those above it
// as a whiteout of all.
func entries(ctx context.Context, l v1.Layer, folder string) ([]string, error) {
	content, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	var out []string
	for t := tar.NewReader(content); ; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		dir, base := path.Split(p)
		if gone, ok := strings.CutPrefix(base, ".wh."); ok && len(dir) < len(folder) {
			if base == opaque && strings.HasPrefix(folder, dir) || strings.HasPrefix(folder, dir+gone+"/") {
				out = append(out, opaque)
			}
			continue
		}
		rel, ok := strings.CutPrefix(p, folder)
		if !ok || rel == "" || h.Typeflag == tar.TypeDir || path.Base(dir) == "__pycache__" {
			continue
		}
		if len(out) == hiddenLimit {
			return out, nil // enough to be refused
		}
		out = append(out, rel)
	}
}

// stack puts the lists of layers over each other, the lowest first, and
// returns the files that are seen (OCI image layer specification, Whiteouts).
func stack(layers [][]string) []string {
	seen := map[string]bool{}
	for _, layer := range layers {
		for _, p := range layer {
			dir, base := path.Split(p)
			gone, whiteout := strings.CutPrefix(base, ".wh.")
			switch {
			case base == opaque:
				maps.DeleteFunc(seen, func(s string, _ bool) bool { return strings.HasPrefix(s, dir) })
			case whiteout:
				maps.DeleteFunc(seen, func(s string, _ bool) bool { return s == dir+gone || strings.HasPrefix(s, dir+gone+"/") })
			}
		}
		for _, p := range layer {
			if !strings.HasPrefix(path.Base(p), ".wh.") {
				seen[p] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
