package release

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const (
	recordKey       = "release.json"
	packedRecordKey = "release.json.zst" // one of very many images
	manifestsKey    = "manifests.json.zst"
	partKey         = "part"
	secretType      = "kubectl-ai.dev/release"
	partType        = "kubectl-ai.dev/release-part"
)

// encode makes the Secret of a release, and the parts that its manifests
// need beside it.
func encode(r Record, manifests []byte, parent types.UID) (head *unstructured.Unstructured, parts []*unstructured.Unstructured, err error) {
	r.APIVersion, r.Kind = APIVersion, Kind
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("encode release %d: %w", r.Revision, err)
	}
	data := map[string][]byte{recordKey: raw}
	if len(raw) > inlineLimit {
		packed, err := pack(raw)
		if err != nil {
			return nil, nil, err
		}
		data = map[string][]byte{packedRecordKey: packed}
	}
	word := ""
	if len(manifests) <= inlineLimit {
		data[manifestsKey] = manifests
	} else {
		parts, word = partsOf(r.Project, r.Namespace, manifests, parent)
	}
	head = secret(secretName(r.Project, r.Revision), r.Namespace, secretType, data, parent, map[string]any{
		ProjectLabel:  r.Project,
		RevisionLabel: strconv.Itoa(r.Revision),
		StatusLabel:   string(r.Status),
	})
	if word != "" {
		head.SetAnnotations(map[string]string{partsAnnotation: word})
	}
	return head, parts, nil
}

// partsOf cuts bytes into Secrets, which are named and labelled by what they
// hold: a part that is there already is the right one. It returns the word
// that partsWord takes apart, such as 9c1f0e5a77aa01b2/3.
func partsOf(project, namespace string, packed []byte, parent types.UID) (parts []*unstructured.Unstructured, word string) {
	h := sha256.New()
	_, _ = h.Write([]byte(parent)) // what an earlier ConfigMap owned goes with that
	_, _ = h.Write(packed)
	digest := fmt.Sprintf("%x", h.Sum(nil)[:8])
	for i, chunk := range split(packed) {
		parts = append(parts, secret(partName(project, digest, i), namespace, partType, map[string][]byte{partKey: chunk}, parent, map[string]any{
			ProjectLabel: project,
			partLabel:    digest,
		}))
	}
	return parts, fmt.Sprintf("%s/%d", digest, len(parts))
}

func partName(project, digest string, i int) string {
	return fmt.Sprintf("kubectl-ai-%s-%s.%d", project, digest, i)
}

// partsWord takes the word apart.
func partsWord(word string) (digest string, n int, err error) {
	digest, count, _ := strings.Cut(word, "/")
	if n, err = strconv.Atoi(count); err != nil || n < 1 || n > inflatedLimit/partLimit {
		return "", 0, fmt.Errorf("%q names no parts", word)
	}
	return digest, n, nil
}

// secret makes an immutable Secret that goes with the ConfigMap of that UID.
func secret(name, namespace, kind string, data map[string][]byte, parent types.UID, labels map[string]any) *unstructured.Unstructured {
	values := map[string]any{}
	for key, raw := range data {
		values[key] = base64.StdEncoding.EncodeToString(raw)
	}
	metadata := map[string]any{"name": name, "namespace": namespace, "labels": labels}
	if parent != "" {
		project, _ := labels[ProjectLabel].(string)
		metadata["ownerReferences"] = []any{map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "name": stateName(project), "uid": string(parent),
		}}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": kind, "immutable": true, "metadata": metadata, "data": values,
	}}
}

// value returns a value of a Secret, or of a ConfigMap's binary data; nil when
// there is none.
func value(obj *unstructured.Unstructured, field, key string) ([]byte, error) {
	text, ok, err := unstructured.NestedString(obj.Object, field, key)
	if err != nil || !ok {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return raw, nil
}

// decodeRecord reads the record from the Secret of a release. It returns a
// *DamagedError or a *NewerError.
func decodeRecord(obj *unstructured.Unstructured) (Record, error) {
	revision, _ := strconv.Atoi(obj.GetLabels()[RevisionLabel])
	damaged := func(err error) (Record, error) {
		return Record{}, &DamagedError{Object: "Secret/" + obj.GetName(), Revision: revision, Err: err}
	}
	raw, err := value(obj, "data", recordKey)
	if err != nil {
		return damaged(err)
	}
	if raw == nil {
		packed, err := value(obj, "data", packedRecordKey)
		if err != nil {
			return damaged(err)
		}
		if packed == nil {
			return damaged(errors.New("it has no record"))
		}
		if raw, err = unpack(packed); err != nil {
			return damaged(err)
		}
	}
	// What tells its version is read first: the rest may have another shape.
	var head struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return damaged(err)
	}
	if head.APIVersion != APIVersion {
		return Record{}, &NewerError{Object: "Secret/" + obj.GetName(), Version: head.APIVersion, Known: APIVersion}
	}
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return damaged(err)
	}
	if r.Revision < 1 || revision > 0 && r.Revision != revision {
		return damaged(fmt.Errorf("it says that it is release %d", r.Revision))
	}
	return r, nil
}
