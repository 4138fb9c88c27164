package apply

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestAReceiptProvesAnObjectUnchanged(t *testing.T) {
	want := object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j, labels: {a: "1"}}, spec: {}}`)
	for _, c := range []struct {
		name       string
		uid        types.UID
		version    string
		generation int64
		labels     map[string]string
		fits       bool
	}{
		{name: "nobody wrote", uid: "u", version: "5", generation: 2, fits: true},
		{name: "a controller wrote the status", uid: "u", version: "9", generation: 2, labels: map[string]string{"a": "1", "b": "2"}, fits: true},
		{name: "somebody wrote the spec", uid: "u", version: "9", generation: 3, labels: map[string]string{"a": "1"}},
		{name: "somebody took a label", uid: "u", version: "9", generation: 2},
		{name: "made anew", uid: "v", version: "5", generation: 2},
		{name: "a kind without generations was written", uid: "u", version: "9", labels: map[string]string{"a": "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			receipt := Receipt{UID: "u", ResourceVersion: "5", Generation: 2, Sum: Sum(want)}
			live := want.DeepCopy()
			live.SetUID(c.uid)
			live.SetResourceVersion(c.version)
			live.SetGeneration(c.generation)
			live.SetLabels(c.labels)
			if got := receipt.fits(want, live); got != c.fits {
				t.Errorf("fits = %v", got)
			}
		})
	}
}

func TestTheReceiptOfASecretHoldsNoHashOfIt(t *testing.T) {
	s := object(t, `{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {k: MTIzNA==}}`)
	if r := receiptOf(s, s); r.Sum != "" {
		t.Errorf("sum = %q", r.Sum)
	}
}
