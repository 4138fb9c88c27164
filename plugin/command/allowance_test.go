package command

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

func TestOnlyTheContextThatIsUsedCanBeAllowed(t *testing.T) {
	t.Parallel()
	for allowed, ok := range map[string]bool{"": true, "lab": true, "Lab": false, "la": false, "prod": false} {
		err := (&allowance{context: allowed}).check("lab")
		var other *explain.OtherContextError
		if ok != (err == nil) || !ok && !errors.As(err, &other) {
			t.Errorf("--allow-context %q: %v", allowed, err)
		}
	}
}

func TestPermit(t *testing.T) {
	t.Parallel()
	stopped := &cluster.StoppedError{Name: "lab"}
	none, foreign := &explain.NotASandboxError{Context: "lab"}, &cluster.NotOursError{Name: "lab"}
	absent, noEngine := &cluster.NotFoundError{Name: "lab"}, &engine.NoEngineError{}
	asked := &explain.NotASandboxError{Context: "lab", Command: "kubectl ai dev"}
	for _, c := range []struct {
		name   string
		a      allowance
		reason error
		want   error
	}{
		{"no sandbox by its name is refused", allowance{}, none, asked},
		{"a kind cluster that we did not make is refused", allowance{}, foreign, asked},
		{"no cluster of that name is to be made", allowance{}, absent, absent},
		{"without an engine nobody knows", allowance{}, noEngine, noEngine},
		{"allowed: no sandbox", allowance{context: "lab"}, none, nil},
		{"allowed: a kind cluster that we did not make", allowance{context: "lab"}, foreign, nil},
		{"allowed: a kind cluster elsewhere", allowance{context: "lab"}, absent, nil},
		{"allowed: no engine here", allowance{context: "lab"}, noEngine, nil},
		{"a stopped sandbox is one", allowance{context: "lab"}, stopped, stopped},
		{"reading needs no permission", allowance{reads: true}, none, nil},
		{"reading from a stopped sandbox", allowance{reads: true}, stopped, stopped},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.a.command = "kubectl ai dev"
			if diff := cmp.Diff(c.want, c.a.permit("lab", c.reason)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCommandLineCanBePasted(t *testing.T) {
	t.Parallel()
	a := &allowance{}
	root := &cobra.Command{Use: "kubectl-ai", Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl ai"}}
	root.PersistentFlags().String("context", "", "")
	cmd := &cobra.Command{Use: "dev", Run: func(*cobra.Command, []string) {}}
	cmd.Flags().Bool("once", false, "")
	cmd.Flags().StringArray("port", nil, "")
	a.addFlag(cmd)
	root.AddCommand(cmd)
	root.SetArgs([]string{"dev", "--once", "my bundle's", "--context", "arn:aws:eks:eu-1:1:cluster/x", "--allow-context", "y", "--port", "1", "--port", "2"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	want := `kubectl ai dev 'my bundle'\''s' --context=arn:aws:eks:eu-1:1:cluster/x --once --port=1 --port=2`
	if diff := cmp.Diff(want, a.command); diff != "" {
		t.Error(diff)
	}
}
