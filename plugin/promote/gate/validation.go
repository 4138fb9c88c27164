package gate

import (
	"context"
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Validation is what a run of stage validate found out.
type Validation struct {
	release.GateValidation
	Passed   bool
	Refusals []string
}

// validation wants the newest validation of the very code that is promoted to
// have passed.
func (k *Keeper) validation(ctx context.Context, g project.Gate) (release.Gate, error) {
	out := release.Gate{Kind: "validation", Name: "in " + g.From}
	v, err := k.Validated(ctx, g.From)
	if err != nil {
		return out, fmt.Errorf("read validations of %s: %w", g.From, err)
	}
	if v == nil {
		out.Detail = fmt.Sprintf("this code was never validated in %s; next: kubectl ai validate", g.From)
		return out, nil
	}
	out.Validation, out.Passed = &v.GateValidation, v.Passed
	out.Detail = fmt.Sprintf("run %s passed", v.Run)
	if !v.Passed {
		out.Detail = fmt.Sprintf("run %s refused: %s", v.Run, strings.Join(v.Refusals, "; "))
	}
	return out, nil
}
