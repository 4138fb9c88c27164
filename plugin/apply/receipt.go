package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// Receipt is what an object was like after it was applied. A live object that
// still fits its receipt needs no question to the server: a whole bundle is
// proven unchanged by one LIST of metadata a kind.
type Receipt struct {
	UID             types.UID `json:"uid,omitempty"`
	ResourceVersion string    `json:"resourceVersion,omitempty"`
	Generation      int64     `json:"generation,omitempty"`
	// Sum is the SHA-256 of the object as it was sent.
	Sum string `json:"sum,omitempty"`
}

// receiptOf leaves the sum of a Secret out: a hash of its values may be kept
// where more people read than may read the Secret, and short values can be
// guessed. Who keeps the manifests of a release in a safe place fills the sum
// in before he asks again; else Secrets are asked for.
func receiptOf(want *unstructured.Unstructured, live metav1.Object) Receipt {
	r := Receipt{
		UID:             live.GetUID(),
		ResourceVersion: live.GetResourceVersion(),
		Generation:      live.GetGeneration(),
	}
	if !redact.IsSecret(want) {
		r.Sum = Sum(want)
	}
	return r
}

// Sum returns the SHA-256 of an object as JSON with sorted keys.
func Sum(obj *unstructured.Unstructured) string {
	sum, _ := sumOf(obj)
	return sum
}

// sumOf returns the sum and how long the JSON is.
func sumOf(obj *unstructured.Unstructured) (sum string, size int) {
	raw, err := json.Marshal(obj.Object)
	if err != nil {
		return "", 0 // no JSON: no receipt
	}
	digest := sha256.Sum256(raw)
	return hex.EncodeToString(digest[:]), len(raw)
}

// fits says whether a live object is as its receipt says, for an object whose
// sum is that of the receipt. Any write changes the resource version. Where a
// controller wrote the status since, the generation tells that the spec is
// untouched, and labels and annotations, which it does not count, are
// compared.
func (r Receipt) fits(want *unstructured.Unstructured, live metav1.Object) bool {
	if r.UID == "" || r.UID != live.GetUID() || live.GetDeletionTimestamp() != nil {
		return false
	}
	if r.ResourceVersion == live.GetResourceVersion() {
		return true
	}
	return r.Generation > 0 && r.Generation == live.GetGeneration() &&
		contains(live.GetLabels(), want.GetLabels()) && contains(live.GetAnnotations(), want.GetAnnotations())
}

func contains(all, some map[string]string) bool {
	for k, v := range some {
		if got, ok := all[k]; !ok || got != v {
			return false
		}
	}
	return true
}
