package apply

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// lastApplied is where client-side apply keeps a copy of the whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Masker hides the values of Secrets. Equal values have equal masks within a
// run, so that a diff shows whether a value changed; the key is thrown away
// with the run, so that masks cannot be compared with guesses.
type Masker struct {
	key    [32]byte
	values map[string]struct{}
}

// NewMasker returns a masker with a fresh key.
func NewMasker() *Masker {
	m := &Masker{values: map[string]struct{}{}}
	_, _ = rand.Read(m.key[:]) // never fails (crypto/rand, Go 1.24)
	return m
}

func isSecret(obj *unstructured.Unstructured) bool {
	return obj != nil && obj.GetKind() == "Secret" && obj.GroupVersionKind().Group == ""
}

// shortest is the length from which a value is looked for in error texts; a
// shorter one would hide ordinary words.
const shortest = 4

// Learn notes the values of a Secret, so that Text hides them.
func (m *Masker) Learn(obj *unstructured.Unstructured) {
	if !isSecret(obj) {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		values, _ := obj.Object[field].(map[string]any)
		for _, v := range values {
			s := fmt.Sprint(v)
			m.note(s)
			if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
				m.note(string(raw))
			}
			m.note(base64.StdEncoding.EncodeToString([]byte(s)))
		}
	}
}

func (m *Masker) note(s string) {
	if len(s) >= shortest {
		m.values[s] = struct{}{}
	}
}

// Object returns the object with the values of a Secret masked; other kinds
// are returned as they are.
func (m *Masker) Object(obj *unstructured.Unstructured) *unstructured.Unstructured {
	if !isSecret(obj) {
		return obj
	}
	out := obj.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		values, ok := out.Object[field].(map[string]any)
		if !ok {
			continue
		}
		for k, v := range values {
			values[k] = m.mask(field, fmt.Sprint(v))
		}
	}
	annotations := out.GetAnnotations()
	if text, ok := annotations[lastApplied]; ok {
		annotations[lastApplied] = m.mask("", text)
		out.SetAnnotations(annotations)
	}
	return out
}

func (m *Masker) mask(field, value string) string {
	if field == "data" {
		if raw, err := base64.StdEncoding.DecodeString(value); err == nil {
			value = string(raw)
		}
	}
	h := hmac.New(sha256.New, m.key[:])
	h.Write([]byte(value))
	return fmt.Sprintf("*** (%d bytes, #%s)", len(value), hex.EncodeToString(h.Sum(nil)[:3]))
}

// Text returns a text without the values that were learned.
func (m *Masker) Text(s string) string {
	values := make([]string, 0, len(m.values))
	for v := range m.values {
		values = append(values, v)
	}
	// A value may hold another one: the longest goes first.
	sort.Slice(values, func(i, j int) bool { return len(values[i]) > len(values[j]) })
	for _, v := range values {
		s = strings.ReplaceAll(s, v, "***")
	}
	return s
}

// objection takes secrets out of what the server said.
func (m *Masker) objection(err error) error {
	var object *ObjectError
	if errors.As(err, &object) {
		object.text = m.Text(object.Err.Error())
	}
	return err
}
