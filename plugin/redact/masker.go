// Package redact takes secrets out of what is shown, kept or sent: diffs, the
// records of releases, errors, reports.
//
// It knows a secret in three ways: it was told the value (Learn), the value
// stands where a secret stands (a field named password, an Authorization
// header, the password of a URL), or it has the shape of one (a private key, a
// JWT, a token of a known issuer). What is found in one way is then hidden
// wherever else it is.
//
// A mask is an HMAC of the value under a key that is thrown away: equal values
// have equal masks, so that one sees where a value is used and whether it
// changed, and masks cannot be compared with guesses.
package redact

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// lastApplied is where client-side apply keeps a copy of the whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Masker hides secrets. It is safe for concurrent use.
type Masker struct {
	key    [32]byte
	person []replacement // of what tells who somebody is

	mu     sync.Mutex        // guards the rest
	forms  map[string]string // what a value looks like somewhere -> its mask
	known  *replacer         // of forms; nil: they changed
	counts map[string]int
}

// New returns a Masker with a fresh key.
func New() *Masker {
	m := &Masker{forms: map[string]string{}, counts: map[string]int{}}
	_, _ = rand.Read(m.key[:]) // never fails (crypto/rand, Go 1.24)
	return m
}

// Rules are why something was masked.
const (
	RuleKnown      = "known"  // told by Learn, or found elsewhere
	RuleField      = "field"  // its name says so
	RuleHeader     = "header" // Authorization and the like
	RuleURL        = "url"    // a password or a signature in a URL
	RulePrivateKey = "private-key"
	RuleToken      = "token" // the shape of a known issuer's
	RulePersonal   = "personal"
)

// Counts returns how often each rule masked something.
func (m *Masker) Counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts)
}

func (m *Masker) count(rule string, n int) {
	if n > 0 {
		m.counts[rule] += n
	}
}

// IsSecret says whether an object is a Secret of the core group.
func IsSecret(obj *unstructured.Unstructured) bool {
	return obj != nil && obj.GetKind() == "Secret" && obj.GroupVersionKind().Group == ""
}

// secretFields hold the values of a Secret.
var secretFields = []string{"data", "stringData"}

// Learn notes the values of a Secret, so that they are hidden in texts.
func (m *Masker) Learn(obj *unstructured.Unstructured) {
	if !IsSecret(obj) {
		return
	}
	for _, field := range secretFields {
		values, _ := obj.Object[field].(map[string]any)
		for _, v := range values {
			s := fmt.Sprint(v)
			raw, err := base64.StdEncoding.DecodeString(s)
			if err != nil || field != "data" {
				m.LearnValue(s)
			}
			if err == nil {
				m.LearnValue(string(raw))
			}
		}
	}
}

// LearnValue notes a value, so that it is hidden in texts.
func (m *Masker) LearnValue(value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(value)
}

// Object returns the object with the values of a Secret masked; other kinds
// are returned as they are.
func (m *Masker) Object(obj *unstructured.Unstructured) *unstructured.Unstructured {
	if !IsSecret(obj) {
		return obj
	}
	out := obj.DeepCopy()
	for _, field := range secretFields {
		values, ok := out.Object[field].(map[string]any)
		if !ok {
			continue
		}
		for k, v := range values {
			values[k] = m.sized(field, fmt.Sprint(v))
		}
	}
	annotations := out.GetAnnotations()
	if text, ok := annotations[lastApplied]; ok {
		annotations[lastApplied] = m.sized("", text)
		out.SetAnnotations(annotations)
	}
	return out
}

// sized is a mask for people who compare two objects: it says how long the
// value is.
func (m *Masker) sized(field, value string) string {
	if field == "data" {
		if raw, err := base64.StdEncoding.DecodeString(value); err == nil {
			value = string(raw)
		}
	}
	return fmt.Sprintf("*** (%d bytes, #%s)", len(value), m.sum(value)[:6])
}

func (m *Masker) sum(value string) string {
	h := hmac.New(sha256.New, m.key[:])
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil))
}

// Masks in texts have a form that is plain in YAML, JSON and URLs' eyes, and
// that no rule takes for a value.
const (
	maskBegin = "<masked:"
	maskEnd   = ">"
)

func (m *Masker) mask(value string) string { return maskBegin + m.sum(value)[:8] + maskEnd }

// Known returns a text without the values that were learned.
func (m *Masker) Known(s string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out, n := m.replaceKnown(s)
	m.count(RuleKnown, n)
	return out
}

// Text returns a text without secrets: those that were learned, and those that
// stand where secrets stand or look like one. What it finds it learns. It also
// takes out who the person is (Person). Doing it twice changes nothing more.
func (m *Masker) Text(s string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, n := m.replaceKnown(s)
	m.count(RuleKnown, n)
	s = m.privateKeys(s)
	var b strings.Builder
	b.Grow(len(s))
	for line := range strings.Lines(s) {
		b.WriteString(m.line(line))
	}
	s = b.String()
	s, n = m.replaceKnown(s) // what the rules found may be elsewhere too
	m.count(RuleKnown, n)
	for _, r := range m.person {
		var n int
		s, n = r.replace(s)
		m.count(RulePersonal, n)
	}
	return s
}

func (m *Masker) replaceKnown(s string) (string, int) {
	if m.known == nil {
		m.known = newReplacer(m.forms)
	}
	out := m.known.replace(s)
	return out, strings.Count(out, maskBegin) - strings.Count(s, maskBegin)
}
