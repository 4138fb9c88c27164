package carrier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
)

// Subjects are those of the objects that hold the code of which something may
// be said: each image, and the first of the ConfigMaps, for all.
func Subjects(format string, code []string) []string {
	if format == FormatConfigMap {
		return code[:min(1, len(code))]
	}
	return code
}

// Documents returns what is said of an object that holds the code: what goes
// with it, and what is in its registry.
func (r *Result) Documents(ctx context.Context, carrier string) ([]attest.Document, error) {
	if name, ok := strings.CutPrefix(carrier, "ConfigMap/"); ok {
		for _, obj := range r.Objects {
			if obj.GetKind() == "ConfigMap" && obj.GetName() == name {
				return Annotated(obj), nil
			}
		}
		return nil, nil
	}
	var docs []attest.Document
	repo, _, _ := strings.Cut(carrier, "@")
	for _, a := range r.attached {
		subject, err := subjectOf(a.img)
		if err != nil {
			return nil, err
		}
		if carrier != repo+"@"+subject || a.to.Context().String() != repo {
			continue
		}
		if a.doc.Type == "" {
			doc, err := documentIn(a.img)
			if err != nil {
				return nil, err
			}
			docs = append(docs, doc)
			continue
		}
		docs = append(docs, a.doc)
	}
	there, err := Documents(ctx, carrier)
	return append(docs, there...), err
}

func subjectOf(img v1.Image) (string, error) {
	m, err := img.Manifest()
	if err != nil || m.Subject == nil {
		return "", err
	}
	return m.Subject.Digest.String(), nil
}

// Annotated returns what a ConfigMap says of the code in it.
func Annotated(obj *unstructured.Unstructured) []attest.Document {
	envelope, ok := obj.GetAnnotations()[ProvenanceAnnotation]
	if !ok {
		return nil
	}
	return []attest.Document{{Type: attest.TypeProvenance, MediaType: attest.MediaEnvelope, Content: []byte(envelope)}}
}

// Documents returns the provenance and the bills of materials that an image's
// registry has of it, whoever wrote them. One that is not what its digest says
// is a document that says nothing.
func Documents(ctx context.Context, ref string) ([]attest.Document, error) {
	image, err := name.NewDigest(ref)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", ref, err)
	}
	// Some registries list what a manifest says of its configuration, not of
	// itself; there the manifest is read to know.
	all, err := referrers(ctx, image, attest.TypeProvenance, attest.TypeSBOM, emptyConfig)
	if err != nil {
		return nil, err
	}
	var docs []attest.Document
	for _, d := range all {
		img, err := remote.Image(image.Context().Digest(d.Digest.String()), auth(ctx)...)
		var doc attest.Document
		if err == nil {
			doc, err = documentIn(img)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			doc = attest.Document{Type: attest.TypeProvenance, MediaType: attest.MediaEnvelope, Content: []byte(err.Error())}
		}
		if doc.Type == attest.TypeProvenance || doc.Type == attest.TypeSBOM {
			docs = append(docs, doc)
		}
	}
	return docs, nil
}

// documentIn reads the document of a manifest; remote's layers verify their
// digests.
func documentIn(img v1.Image) (attest.Document, error) {
	m, err := img.Manifest()
	if err != nil {
		return attest.Document{}, err
	}
	if len(m.Layers) != 1 || m.Layers[0].Size > attest.Limit {
		return attest.Document{}, fmt.Errorf("a manifest with a document has one layer of %d bytes at most", attest.Limit)
	}
	layers, err := img.Layers()
	if err != nil {
		return attest.Document{}, err
	}
	body, err := layers[0].Compressed()
	if err != nil {
		return attest.Document{}, err
	}
	content, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return attest.Document{}, err
	}
	return attest.Document{Type: m.ArtifactType, MediaType: string(m.Layers[0].MediaType), Content: content}, nil
}

// referrers lists the manifests that name an image as their subject; of no
// type: all. A registry without the API for it has a tag (distribution
// specification, "Referrers tag schema"), which the library knows.
func referrers(ctx context.Context, image name.Digest, only ...string) ([]v1.Descriptor, error) {
	index, err := remote.Referrers(image, auth(ctx)...)
	if err != nil {
		var answer *transport.Error
		if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("ask what refers to %s: %w", image, err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("ask what refers to %s: %w", image, err)
	}
	found := map[v1.Hash]v1.Descriptor{}
	for _, d := range m.Manifests {
		if d.MediaType.IsImage() && (len(only) == 0 || slices.Contains(only, d.ArtifactType)) {
			found[d.Digest] = d
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) }), nil
}
