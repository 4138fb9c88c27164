package carrier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// NotReleasedError says that a release carries no code for a container, or
// not the code that its record names.
type NotReleasedError struct{ What string }

func (e *NotReleasedError) Error() string { return "the release " + e.What }

// Released brings the code of a release to other targets as it is: the same
// images, digest for digest, with all that their registry says refers to them,
// or the same ConfigMaps. Nothing is built.
type Released struct {
	Form   string // of its carrier: layer, imageVolume or configMap
	Digest tree.Digest
	Images map[string]string // target -> image, as its record has them
	Stored []*unstructured.Unstructured
	// Registry is where the targets' cluster pulls from; images with the code
	// that are not in it are copied. Empty: they stay where they are.
	Registry string
	Project  string
}

// Carry edits the targets so that they get the code. Nothing is pushed before
// Result.Push. It returns a *NotReleasedError for what the release does not
// have.
func (c *Released) Carry(ctx context.Context, targets []workload.Target) (*Result, error) {
	if err := uncovered(targets); err != nil {
		return nil, err
	}
	result := &Result{Format: c.Form}
	for _, t := range targets {
		image, err := c.image(t)
		if err != nil {
			return nil, err
		}
		if c.Form == FormatLayer {
			if image, err = c.bring(ctx, result, image); err != nil {
				return nil, err
			}
		}
		t.Container.SetImage(image)
		result.keep(t, image, nil)
	}
	if c.Form == FormatLayer {
		return result, nil
	}
	source, err := c.source(ctx, result, targets)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		mount(t, source, c.Digest)
	}
	return result, nil
}

// bring returns the name of an image with the code in the targets' registry.
func (c *Released) bring(ctx context.Context, result *Result, image string) (string, error) {
	p, err := c.copied(ctx, image)
	if err != nil {
		return "", err
	}
	ref := p.ref.String()
	if !slices.Contains(result.Code, ref) {
		result.Code = append(result.Code, ref)
		if p.what != nil {
			result.pushes = append(result.pushes, p)
			from, err := name.NewDigest(image)
			if err != nil {
				return "", err
			}
			if err := result.copyReferrers(ctx, from, p.ref.Context()); err != nil {
				return "", err
			}
		}
	}
	return ref, nil
}

// source is what the release mounts the code from. ConfigMaps come along, when
// they hold the tree that the record names.
func (c *Released) source(ctx context.Context, result *Result, targets []workload.Target) (map[string]any, error) {
	template, volume := c.volume()
	if volume == nil {
		return nil, &NotReleasedError{What: "mounts no volume with the code"}
	}
	delete(volume, "name")
	if c.Form == FormatImageVolume {
		image, _, _ := unstructured.NestedString(volume, "image", "reference")
		ref, err := c.bring(ctx, result, image)
		return imageSource(ref), err
	}
	var made []*unstructured.Unstructured
	index, err := Mounted(workload.Target{Template: template}, func(name string) (*unstructured.Unstructured, error) {
		for _, obj := range c.Stored {
			if obj.GetKind() == "ConfigMap" && obj.GetName() == name {
				made = append(made, obj)
				return obj, nil
			}
		}
		return nil, &NotReleasedError{What: "lacks ConfigMap/" + name}
	})
	if err != nil {
		return nil, err
	}
	if index.Digest() != c.Digest {
		return nil, &NotReleasedError{What: fmt.Sprintf("carries %s, its record says %s", index.Digest(), c.Digest)}
	}
	namespaces := map[string]bool{}
	for _, t := range targets {
		namespace := t.Object.GetNamespace()
		if namespaces[namespace] {
			continue
		}
		namespaces[namespace] = true
		for _, obj := range made {
			obj = obj.DeepCopy()
			obj.SetNamespace(namespace)
			obj.SetLabels(nil) // they say which release it belonged to
			result.Objects = append(result.Objects, obj)
		}
	}
	for _, obj := range made {
		result.Code = append(result.Code, "ConfigMap/"+obj.GetName())
	}
	return volume, nil
}

// volume returns the volume with the code of the first pod template that has
// one: all have the same.
func (c *Released) volume() (workload.Template, map[string]any) {
	for _, obj := range c.Stored {
		templates, err := workload.Templates(obj)
		if err != nil {
			continue
		}
		for _, t := range templates {
			volumes, _ := t.Spec()["volumes"].([]any)
			if i := slices.IndexFunc(volumes, isCodeVolume); i >= 0 {
				volume, _ := volumes[i].(map[string]any)
				return t, maps.Clone(volume)
			}
		}
	}
	return workload.Template{}, nil
}

// image returns the image that the release has for a target. Where all its
// targets have one that is it, whatever the overlays call the workload.
func (c *Released) image(t workload.Target) (string, error) {
	if image, ok := c.Images[t.String()]; ok {
		return image, nil
	}
	if all := slices.Compact(slices.Sorted(maps.Values(c.Images))); len(all) == 1 {
		return all[0], nil
	}
	return "", &NotReleasedError{What: "has no image for " + t.String()}
}

// copied says how an image comes to the registry; what is nil when it is there.
func (c *Released) copied(ctx context.Context, image string) (push, error) {
	from, err := name.NewDigest(image)
	if err != nil {
		return push{}, &NotReleasedError{What: "has an image without a digest: " + image}
	}
	registry := strings.TrimRight(c.Registry, "/")
	if registry == "" || strings.HasPrefix(image, registry+"/") {
		return push{ref: from}, nil
	}
	head, err := remote.Get(from, auth(ctx)...)
	if err != nil {
		return push{}, &BaseError{Image: image, Registry: err, Engine: errors.New("it is not asked: a release is copied from its registry")}
	}
	var what pushable
	if head.MediaType.IsIndex() {
		what, err = head.ImageIndex()
	} else {
		what, err = head.Image()
	}
	if err != nil {
		return push{}, fmt.Errorf("read %s: %w", image, err)
	}
	return newPush(fmt.Sprintf("%s/%s/%s", registry, c.Project, lastPart(image)), head.Digest, c.Digest, what)
}
