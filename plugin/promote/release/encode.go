package release

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	recordKey    = "release.json"
	manifestsKey = "manifests.json.zst"
	secretType   = "kubectl-ai.dev/release"

	// manifestsLimit leaves room for the record in a Secret's 1 MiB.
	manifestsLimit = 1<<20 - 64<<10
	// inflatedLimit bounds what a Secret may unpack to.
	inflatedLimit = 64 << 20
)

// Manifests packs the objects of a release. It returns a *TooLargeError when
// a Secret cannot hold them, before anything is written.
func Manifests(objects []*unstructured.Unstructured) ([]byte, error) {
	list := make([]any, len(objects))
	for i, obj := range objects {
		list[i] = obj.Object
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode the manifests: %w", err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return nil, fmt.Errorf("encode the manifests: %w", err)
	}
	packed := encoder.EncodeAll(raw, nil)
	if len(packed) > manifestsLimit {
		return nil, &TooLargeError{Size: len(packed), Limit: manifestsLimit}
	}
	return packed, nil
}

// encode makes the Secret of a release.
func encode(r Record, manifests []byte) (*unstructured.Unstructured, error) {
	r.APIVersion, r.Kind = APIVersion, Kind
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode release %d: %w", r.Revision, err)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"type":       secretType,
		"immutable":  true,
		"metadata": map[string]any{
			"name":      secretName(r.Project, r.Revision),
			"namespace": r.Namespace,
			"labels": map[string]any{
				ProjectLabel:  r.Project,
				RevisionLabel: strconv.Itoa(r.Revision),
				StatusLabel:   string(r.Status),
			},
		},
		"data": map[string]any{
			recordKey:    base64.StdEncoding.EncodeToString(raw),
			manifestsKey: base64.StdEncoding.EncodeToString(manifests),
		},
	}}, nil
}

func value(obj *unstructured.Unstructured, key string) ([]byte, error) {
	text, _, _ := unstructured.NestedString(obj.Object, "data", key)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("read %s of Secret/%s: %w", key, obj.GetName(), err)
	}
	return raw, nil
}

func decodeRecord(obj *unstructured.Unstructured) (Record, error) {
	raw, err := value(obj, recordKey)
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return Record{}, fmt.Errorf("read Secret/%s: %w", obj.GetName(), err)
	}
	return r, nil
}

func decodeManifests(obj *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	packed, err := value(obj, manifestsKey)
	if err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(inflatedLimit))
	if err != nil {
		return nil, fmt.Errorf("read Secret/%s: %w", obj.GetName(), err)
	}
	defer decoder.Close()
	raw, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("read Secret/%s: %w", obj.GetName(), err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read Secret/%s: %w", obj.GetName(), err)
	}
	var objects []*unstructured.Unstructured
	for _, item := range list {
		obj := &unstructured.Unstructured{}
		// This decoder keeps whole numbers whole.
		if err := obj.UnmarshalJSON(item); err != nil {
			return nil, fmt.Errorf("read a manifest: %w", err)
		}
		objects = append(objects, obj)
	}
	return objects, nil
}
