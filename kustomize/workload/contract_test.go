package workload_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

func TestAContractReachesContainersThatSetNone(t *testing.T) {
	for name, c := range map[string]struct {
		env, contract string
		want          []string
	}{
		"set":             {"", `{"labels":["a"]}`, []string{`DATA_CONTRACT={"labels":["a"]}`}},
		"no reference":    {"", `{"labels":["$(HOME)"]}`, []string{`DATA_CONTRACT={"labels":["$$(HOME)"]}`}},
		"the bundle sets": {"{name: DATA_CONTRACT, value: x}", `{}`, []string{"DATA_CONTRACT=x"}},
		"no contract":     {"", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			targets := gang(t, "completions: 1", "restartPolicy: Never", c.env)
			workload.TellContract(targets, workload.DataContract, c.contract)
			if diff := cmp.Diff(c.want, variables(targets)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
