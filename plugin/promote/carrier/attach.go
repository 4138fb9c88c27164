package carrier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
)

// ProvenanceAnnotation is on ConfigMaps with code that was signed: the
// envelope with their provenance. An image's is in its registry.
const ProvenanceAnnotation = "kubectl-ai.dev/provenance"

// emptyConfig is the type of a configuration that says nothing.
const emptyConfig = "application/vnd.oci.empty.v1+json"

// attached is a document, or what somebody else says of an image, on its way
// to the image's registry: a manifest that names the image as its subject (OCI
// image and distribution specifications 1.1, "Referrers").
type attached struct {
	to  name.Digest // of the manifest
	img v1.Image
	doc attest.Document // the zero value for what is not ours
}

// Attach has documents go with an object that holds the code, one of Code: to
// the registry of an image with Push, into annotations of a ConfigMap. There a
// signed statement alone has a place: a bill of materials may be too large, and
// what nobody signed says no more than the ConfigMap itself. It returns what
// goes.
func (r *Result) Attach(carrier string, docs ...attest.Document) ([]attest.Document, error) {
	if name, ok := strings.CutPrefix(carrier, "ConfigMap/"); ok {
		return r.annotate(name, docs), nil
	}
	i := slices.IndexFunc(r.pushes, func(p push) bool { return p.ref.String() == carrier })
	if i < 0 {
		return nil, fmt.Errorf("%s is not made here, so nothing is attached to it", carrier)
	}
	p := r.pushes[i]
	subject, err := partial.Descriptor(p.what)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", carrier, err)
	}
	// What refers to it needs its digest, size and type, no more.
	subject = &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest}
	for _, d := range docs {
		img, err := newReferrer(*subject, d)
		if err != nil {
			return nil, fmt.Errorf("attach a %s to %s: %w", d.Type, carrier, err)
		}
		if err := r.attach(p.ref.Context(), img, d); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

func (r *Result) attach(repo name.Repository, img v1.Image, doc attest.Document) error {
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("hash what is attached to an image of %s: %w", repo, err)
	}
	r.attached = append(r.attached, attached{to: repo.Digest(digest.String()), img: img, doc: doc})
	return nil
}

func (r *Result) annotate(name string, docs []attest.Document) []attest.Document {
	var goes []attest.Document
	for _, d := range docs {
		if d.Type != attest.TypeProvenance || !d.Signed() {
			continue
		}
		goes = append(goes, d)
		for _, obj := range r.Objects {
			if obj.GetKind() == "ConfigMap" && obj.GetName() == name {
				annotations := obj.GetAnnotations()
				if annotations == nil {
					annotations = map[string]string{}
				}
				annotations[ProvenanceAnnotation] = string(d.Content)
				obj.SetAnnotations(annotations)
			}
		}
	}
	return goes
}

// newReferrer makes a manifest with one document in it. Its configuration is
// the empty one of the specification.
func newReferrer(subject v1.Descriptor, d attest.Document) (v1.Image, error) {
	layer := static.NewLayer(d.Content, types.MediaType(d.MediaType))
	content, err := partial.Descriptor(layer)
	if err != nil {
		return nil, err
	}
	config, err := partial.Descriptor(static.NewLayer([]byte("{}"), emptyConfig))
	if err != nil {
		return nil, err
	}
	config.Data = []byte("{}")
	raw, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: d.Type,
		Config: *config, Layers: []v1.Descriptor{*content}, Subject: &subject,
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&referrer{manifest: raw, layer: layer})
}

// referrer is a partial.CompressedImageCore.
type referrer struct {
	manifest []byte
	layer    v1.Layer
}

func (r *referrer) RawConfigFile() ([]byte, error)      { return []byte("{}"), nil }
func (r *referrer) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (r *referrer) RawManifest() ([]byte, error)        { return r.manifest, nil }
func (r *referrer) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if digest, err := r.layer.Digest(); err != nil || digest != h {
		return nil, errors.Join(err, fmt.Errorf("it has no layer %s", h))
	}
	return r.layer, nil
}

// pushAttached sends what the registry does not have. A registry that takes no
// artifacts ends a promotion when a signature was asked for; else it is noted.
func (r *Result) pushAttached(ctx context.Context, report Reporter) (int, error) {
	sent := 0
	for _, a := range r.attached {
		if _, err := remote.Head(a.to, auth(ctx)...); err == nil {
			continue
		}
		err := remote.Write(a.to, a.img, auth(ctx)...)
		switch {
		case err == nil:
			sent++
		case ctx.Err() != nil:
			return sent, context.Cause(ctx)
		case a.doc.KeyID != "" || a.doc.Type == "": // signed, or a part of a release
			return sent, &PushError{Ref: a.to.String(), Err: err}
		default:
			report.Note("without the %s, which the registry does not take: %v", a.doc.Type, err)
			if r.refused == nil {
				r.refused = map[string]bool{}
			}
			r.refused[a.doc.Digest()] = true
		}
	}
	return sent, nil
}

// Signed says whether something that goes to a registry was signed here.
func (r *Result) Signed() bool {
	return slices.ContainsFunc(r.attached, func(a attached) bool { return a.doc.KeyID != "" })
}

// Refused says whether the registry did not take a document of that digest.
func (r *Result) Refused(digest string) bool { return r.refused[digest] }

// copyReferrers has all that refers to an image go to another repository with
// it, byte for byte.
func (r *Result) copyReferrers(ctx context.Context, from name.Digest, to name.Repository) error {
	all, err := referrers(ctx, from)
	if err != nil {
		return err
	}
	for _, d := range all {
		img, err := remote.Image(from.Context().Digest(d.Digest.String()), auth(ctx)...)
		if err != nil {
			return fmt.Errorf("read what refers to %s: %w", from, err)
		}
		if err := r.attach(to, img, attest.Document{}); err != nil {
			return err
		}
	}
	return nil
}
