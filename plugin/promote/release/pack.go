package release

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// partLimit is how much one Secret or ConfigMap is given to hold. The API
	// allows 1 MiB, names and labels apart.
	partLimit = 900 << 10
	// inlineLimit is what the Secret of a release holds of its manifests
	// itself, so that listing the releases stays cheap.
	inlineLimit = 64 << 10
	// inflatedLimit bounds what is packed, and what a pack may unpack to.
	inflatedLimit = 256 << 20
)

// Manifests packs the objects of a release. It returns a *TooLargeError for
// more than could be read back.
func Manifests(objects []*unstructured.Unstructured) ([]byte, error) {
	list := make([]any, len(objects))
	for i, obj := range objects {
		list[i] = obj.Object
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode the manifests: %w", err)
	}
	if len(raw) > inflatedLimit {
		return nil, &TooLargeError{Size: len(raw), Limit: inflatedLimit}
	}
	return pack(raw)
}

func manifestsOf(packed []byte) ([]*unstructured.Unstructured, error) {
	raw, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, len(list))
	for i, item := range list {
		objects[i] = &unstructured.Unstructured{}
		// This decoder keeps whole numbers whole.
		if err := objects[i].UnmarshalJSON(item); err != nil {
			return nil, fmt.Errorf("manifest %d: %w", i, err)
		}
	}
	return objects, nil
}

// Both are safe for concurrent use, and dear to make.
var (
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	})
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(inflatedLimit), zstd.WithDecoderConcurrency(1))
	})
)

func pack(raw []byte) ([]byte, error) {
	e, err := encoder()
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return e.EncodeAll(raw, nil), nil
}

// unpack checks the checksum that pack put in.
func unpack(packed []byte) ([]byte, error) {
	d, err := decoder()
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	raw, err := d.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return raw, nil
}

// split cuts what does not fit into one object.
func split(packed []byte) [][]byte { return slices.Collect(slices.Chunk(packed, partLimit)) }
