package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

func parsedNodes(t *testing.T, args ...string) ([]spec.GPUs, error) {
	t.Helper()
	var n nodeFlags
	flags := pflag.NewFlagSet("create", pflag.ContinueOnError)
	n.add(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return n.gpus(flags)
}

func TestNodesOfASandbox(t *testing.T) {
	t.Parallel()
	h100 := spec.GPUs{Profile: "h100", Count: 8}
	cut := spec.GPUs{Profile: "h100", Count: 8, MIG: mig.Layout{All: "1g.10gb"}, MIGStrategy: "mixed"}
	sliced := spec.GPUs{Profile: "l4", Count: 2, Sharing: model.Sharing{Strategy: "time-slicing", Replicas: 4}}
	for _, c := range []struct {
		args string
		want []spec.GPUs
		says string
	}{
		{"", []spec.GPUs{h100}, "8 × h100 on every node"},
		{"--nodes 2 --profile H100", []spec.GPUs{h100, h100}, "8 × h100 on every node"},
		{"--mig all-1g.10gb", []spec.GPUs{cut}, "8 × h100 cut into 1g.10gb on every node"},
		{"--node gpus=0 --node count=2 --node profile=l4,gpus=2,time-slicing=4", []spec.GPUs{{}, h100, h100, sliced}, "none on one node, 8 × h100 on each of 2 nodes, 2 × l4, each offered 4 times (time-slicing) on one node"},
		{"--node mig=all-1g.10gb,mig-strategy=mixed", []spec.GPUs{cut}, "8 × h100 cut into 1g.10gb on every node"},
	} {
		got, err := parsedNodes(t, strings.Fields(c.args)...)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", c.args, err, diff)
		}
		if got := equipment(got); got != c.says {
			t.Errorf("%s: %q, want %q", c.args, got, c.says)
		}
	}
}

func TestNodesThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for args, says := range map[string]string{
		"--profile voodoo": "voodoo", "--gpus-per-node 65": "65", "--nodes 0": "--nodes 0", "--nodes 33": "--nodes 33",
		"--mig 1g.10gb": "1g.10gb", "--mig all-1g.5gb": "1g.10gb+me", "--profile l4 --mig all-1g.5gb": "no MIG", "--mig-strategy single": "nothing is cut",
		"--mig all-1g.10gb --mig-strategy some": "mig-strategy", "--time-slicing 1": "2 to", "--mps 2 --time-slicing 2": "exclude", "--mps 2 --mig all-1g.10gb": "exclude",
		"--allocation first": "allocation", "--node profile=h100 --nodes 2": "--node nodes=", "--node gpus=x": "gpus=x", "--node frobnicate=1": "unknown frobnicate",
		"--node gpus": "KEY=VALUE", "--node gpus=1,gpus=2": "twice", "--node count=40": "count=40", "--node count=20 --node count=20": "40",
		"--mig " + file("layout.yaml", "version: v1\nmig-configs: {a: [{devices: all, mig-enabled: true, mig-devices: {3g.40gb: 3}}]}"): "at most 2",
		"--profile " + file("board.yaml", "name: x\n"):    "product",
		"--profile " + file("typo.yaml", "proflie: x\n"):  "proflie",
		"--profile " + filepath.Join(dir, "missing.yaml"): "missing.yaml",
	} {
		if got, err := parsedNodes(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v; want an error that says %q", args, got, err, says)
		}
	}
	board := file("mine.yaml", "name: mine\nproduct: NVIDIA Mine\nmemoryMiB: 8192\npowerLimit: 100\nminPower: 50\nidlePower: 9000\nidleClock: 200\nmaxClock: 2000\nmemoryClock: 5000\npcieGen: 4\narchitecture: ampere\ncomputeCap: \"8.6\"\ndriver: 610.43.02\ncuda: \"13.3\"\n")
	got, err := parsedNodes(t, "--profile", board)
	if err != nil || got[0].Profile != "mine" || got[0].Custom.Driver != "610.43.02" {
		t.Errorf("a board of one's own: %+v, %v", got, err)
	}
}
