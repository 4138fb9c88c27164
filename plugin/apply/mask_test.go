package apply

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

func secret(t *testing.T, value string) string {
	t.Helper()
	return `{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns, annotations: {kubectl.kubernetes.io/last-applied-configuration: "` + value + `"}}, data: {k: ` +
		base64.StdEncoding.EncodeToString([]byte(value)) + `}, stringData: {t: "` + value + `"}}`
}

func TestADiffShowsThatASecretChangedAndNotWhat(t *testing.T) {
	p := &Plan{mask: redact.New(), Changes: []Change{{
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

func TestErrorsDoNotRepeatSecrets(t *testing.T) {
	m := redact.New()
	m.Learn(object(t, secret(t, "hunter-two")))
	encoded := base64.StdEncoding.EncodeToString([]byte("hunter-two"))
	err := objection(m, &ObjectError{Action: "dry run of", Ref: Ref{Kind: "Secret", Name: "s"}, Err: errors.New("invalid: hunter-two, " + encoded)})
	if strings.Contains(err.Error(), "hunter-two") || strings.Contains(err.Error(), encoded) {
		t.Errorf("the error says %q", err)
	}
}
