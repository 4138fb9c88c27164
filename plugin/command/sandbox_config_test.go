package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
)

func TestConfigOfTheUser(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kind.yaml")
	const content = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: mine\nnodes: [{role: worker}, {role: control-plane}]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) (*SandboxCreateOptions, error) {
		o := &SandboxCreateOptions{RegistryPort: 5001}
		flags := pflag.NewFlagSet("create", pflag.ContinueOnError)
		o.add(flags)
		flags.StringVar(&o.Name, "name", cluster.DefaultName, "")
		flags.StringVar(&o.GPUs, "gpus", "auto", "")
		flags.StringVar(&o.Config, "config", "", "")
		if err := flags.Parse(append(args, "--config", file)); err != nil {
			t.Fatal(err)
		}
		if err := o.readConfig(flags); err != nil {
			return o, err
		}
		return o, o.Validate(flags)
	}
	o, err := read()
	if err != nil || o.Name != "mine" || len(o.nodes) != 2 {
		t.Errorf("%v, name %q, %d nodes", err, o.Name, len(o.nodes))
	}
	if o, err = read("--name", "yours", "--gpus", "none"); err != nil || o.Name != "yours" || len(o.nodes) != 2 {
		t.Errorf("%v, name %q, %d nodes", err, o.Name, len(o.nodes))
	}
	if _, err = read("--node", "gpus=0"); err == nil || !strings.Contains(err.Error(), "has 2, the control plane first") {
		t.Errorf("fewer --node than nodes: %v", err)
	}
	var usage *explain.UsageError
	if _, err = read("--nodes", "2"); !errors.As(err, &usage) {
		t.Errorf("--nodes beside it: %v", err)
	}
}
