package gate

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

func TestAValidationGate(t *testing.T) {
	of := func(passed bool, refusals ...string) *Validation {
		return &Validation{GateValidation: release.GateValidation{Run: "k7x2mq", Model: "sha256:ab"}, Passed: passed, Refusals: refusals}
	}
	for _, c := range []struct {
		name   string
		found  *Validation
		passes bool
		says   string
	}{
		{"it passed", of(true), true, "run k7x2mq passed"},
		{"it refused", of(false, "accuracy is 0.1", "1 samples are in the training data too"), false, "run k7x2mq refused: accuracy is 0.1; 1 samples"},
		{"there is none of this code", nil, false, "this code was never validated in staging"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keeper()
			k.Validated = func(_ context.Context, from string) (*Validation, error) {
				if from != "staging" {
					t.Errorf("asked in %s", from)
				}
				return c.found, nil
			}
			found, err := k.Check(t.Context(), []project.Gate{{Validation: true, From: "staging"}})
			var refused *RefusedError
			if errors.As(err, &refused) == c.passes || len(found) != 1 || found[0].Passed != c.passes || !strings.Contains(found[0].Detail, c.says) {
				t.Errorf("%+v, %v", found, err)
			}
			if c.found != nil && found[0].Validation.Model != "sha256:ab" {
				t.Errorf("no evidence: %+v", found[0])
			}
		})
	}
	k := keeper()
	k.Validated = func(context.Context, string) (*Validation, error) { return nil, errors.New("unreachable") }
	if _, err := k.Check(t.Context(), []project.Gate{{Validation: true}}); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("%v", err)
	}
}
