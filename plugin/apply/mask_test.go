package apply

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func secret(t *testing.T, value string) string {
	t.Helper()
	return `{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns, annotations: {` + lastApplied + `: "` + value + `"}}, data: {k: ` +
		base64.StdEncoding.EncodeToString([]byte(value)) + `}, stringData: {t: "` + value + `"}}`
}

func TestADiffShowsThatASecretChangedAndNotWhat(t *testing.T) {
	p := &Plan{mask: NewMasker(), Changes: []Change{{
		Action: Update, Ref: Ref{Kind: "Secret", Name: "s"},
		Live: object(t, secret(t, "former-value")), Result: object(t, secret(t, "latter-value")),
	}}}
	var out bytes.Buffer
	if err := p.WriteDiff(&out); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"former-value", "latter-value"} {
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
			if strings.Contains(out.String(), form) {
				t.Errorf("the diff shows %q:\n%s", form, &out)
			}
		}
	}
	if strings.Count(out.String(), "*** (12 bytes") != 6 {
		t.Errorf("the diff does not show that the values changed:\n%s", &out)
	}
}

func TestEqualValuesHaveEqualMasksWithinARun(t *testing.T) {
	m := NewMasker()
	a, b := m.Object(object(t, secret(t, "one-value"))), m.Object(object(t, secret(t, "one-value")))
	if a.Object["data"].(map[string]any)["k"] != b.Object["data"].(map[string]any)["k"] {
		t.Error("the masks of one value differ")
	}
	c := NewMasker().Object(object(t, secret(t, "one-value")))
	if a.Object["data"].(map[string]any)["k"] == c.Object["data"].(map[string]any)["k"] {
		t.Error("masks of two runs are equal, so that they could be compared with guesses")
	}
}

func TestErrorsDoNotRepeatSecrets(t *testing.T) {
	m := NewMasker()
	m.Learn(object(t, secret(t, "hunter-two")))
	encoded := base64.StdEncoding.EncodeToString([]byte("hunter-two"))
	err := m.objection(&ObjectError{Action: "dry run of", Ref: Ref{Kind: "Secret", Name: "s"}, Err: errors.New("invalid: hunter-two, " + encoded)})
	if strings.Contains(err.Error(), "hunter-two") || strings.Contains(err.Error(), encoded) {
		t.Errorf("the error says %q", err)
	}
}
