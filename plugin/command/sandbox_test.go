package command

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
)

// sandboxCommand returns `sandbox` on streams of its own.
func sandboxCommand(t *testing.T, args ...string) (cmd *cobra.Command, out, talk *bytes.Buffer) {
	t.Helper()
	out, talk = &bytes.Buffer{}, &bytes.Buffer{}
	f := &Factory{
		Streams: term.Streams{IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: talk}},
		Flags:   genericclioptions.NewConfigFlags(true),
	}
	cmd = NewCmdSandbox(f)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(talk)
	return cmd, out, talk
}

// Wrong flags are refused before an engine is asked for anything: the PATH is
// empty here.
func TestSandboxUsage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, c := range []struct {
		name string
		args string
		says []string // every one of them
	}{
		{"a profile of real GPUs", "create --gpus real --profile l4", []string{"exclude", "as they are"}},
		{"real GPUs that are listed and simulated ones", "create --gpus fake --node devices=0", []string{"exclude"}},
		{"nodes that name no real GPU", "create --gpus real --node gpus=1", []string{"devices="}},
		{"a profile of listed GPUs", "create --node devices=0,profile=l4", []string{"devices=", "profile="}},
		{"listed GPUs of several nodes", "create --node devices=0,count=2", []string{"devices=", "count="}},
		{"real GPUs cut", "create --node devices=0,mig=all-1g.10gb", []string{"nvidia-smi mig"}},
		{"MPS on real GPUs", "create --node devices=0,mps=2", []string{"daemon"}},
		{"an unknown kind of GPU", "create --gpus some", []string{"auto", "fake", "none"}},
		{"all mistakes at once", "create --name A_B --nodes 0 --gpus-per-node 0 --registry-port 70000 --wait -1s", []string{"A_B", "--nodes 0", "0 GPUs", "70000", "-1s"}},
		{"an unknown profile", "create --profile x", []string{`"x"`, "h100"}},
		{"a configuration that is not there", "create --config /none.yaml", []string{"/none.yaml"}},
		{"a configuration and a number of nodes", "create --config - --nodes 2", []string{"exclude"}},
		{"an empty configuration", "create --config -", []string{"kind configuration"}},
		{"an unknown format", "list -o wide", []string{"wide", "json"}},
		{"an unknown format of status", "status -o xml", []string{"xml"}},
		{"a name and all", "delete --all --name x", []string{"exclude"}},
		{"nothing to load", "load", []string{"images to load"}},
		{"an argument too many", "stop x", []string{"no argument"}},
		{"an unknown verb", "crate", []string{"create"}},
		{"an unknown verb of gpu", "gpu fial", []string{"fail"}},
		{"no fault", "gpu fail --gpu 1", []string{"--xid", "--throttle"}},
		{"two faults", "gpu fail --gpu 1 --xid 79 --ecc", []string{"one of"}},
		{"no GPU to fail", "gpu fail --xid 79", []string{"--gpu is missing"}},
		{"no XID", "gpu fail --gpu 1 --xid 0", []string{"1 to 999"}},
		{"nothing to set", "gpu set --gpu 1", []string{"--temperature"}},
		{"no GPU to set", "gpu set --power 1", []string{"--gpu is missing"}},
		{"an unknown format of GPUs", "gpu ls -o xml", []string{"xml", "wide"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, _, _ := sandboxCommand(t, strings.Fields(c.args)...)
			err := cmd.ExecuteContext(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestSandboxWithoutAnEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, args := range []string{"create --gpus none", "list", "status", "stop", "start", "delete --yes", "load x", "gpu ls", "gpu fail --gpu 0 --lost", "gpu heal", "gpu set --gpu 0 --power 100"} {
		cmd, out, _ := sandboxCommand(t, strings.Fields(args)...)
		var said bytes.Buffer
		if code := explain.Print(&said, cmd.ExecuteContext(t.Context()), false); code != explain.ExitPrecondition {
			t.Errorf("%s: exit %d", args, code)
		}
		if !strings.Contains(said.String(), "SBX-001") || !strings.Contains(said.String(), "next:") || out.Len() > 0 {
			t.Errorf("%s said:\n%s%s", args, said.String(), out)
		}
	}
}

func sampleCluster() cluster.Cluster {
	return cluster.Cluster{
		Name: "ai", State: cluster.Running,
		Mark: cluster.Mark{
			Created: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC), Image: "kubectl-ai/node:v1.36.3", Kubernetes: "v1.36.3",
			GPUs: cluster.GPUs{Mode: "fake", Profile: "h100", PerNode: 8}, Registry: 5001,
		},
		Nodes: []cluster.Node{
			{Name: "ai-control-plane", Role: cluster.ControlPlane, Running: true, Address: "172.18.0.2"},
			{Name: "ai-worker", Role: cluster.Worker},
		},
	}
}

// The shape is a promise to scripts: a field may be added, none renamed.
func TestSandboxStatusJSON(t *testing.T) {
	t.Parallel()
	view := viewOf(sampleCluster())
	view.Engine = "docker"
	yes := true
	view.Registry.Answers = &yes
	view.join(map[string]cluster.NodeStatus{"ai-control-plane": {Ready: true, Kubernetes: "v1.36.3", GPUs: 8}})
	var out bytes.Buffer
	if err := printAs(&out, "json", view, nil, nil); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "apiVersion": "kubectl-ai.dev/v1alpha1",
  "kind": "Sandbox",
  "name": "ai",
  "context": "kind-ai",
  "state": "Running",
  "created": "2026-11-01T10:00:00Z",
  "kubernetes": "v1.36.3",
  "image": "kubectl-ai/node:v1.36.3",
  "engine": "docker",
  "gpus": {
    "mode": "fake",
    "profile": "h100",
    "perNode": 8
  },
  "registry": {
    "host": "localhost:5001",
    "answers": true
  },
  "nodes": [
    {
      "name": "ai-control-plane",
      "role": "control-plane",
      "running": true,
      "address": "172.18.0.2",
      "ready": true,
      "kubernetes": "v1.36.3",
      "allocatableGPUs": 8
    },
    {
      "name": "ai-worker",
      "role": "worker",
      "running": false
    }
  ]
}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if err := printStatus(&out, view, 90*time.Minute); err != nil {
		t.Fatal(err)
	}
	const table = `Sandbox:      ai
State:        Running, made 90m ago
Context:      kind-ai
Kubernetes:   v1.36.3, image kubectl-ai/node:v1.36.3, on docker
GPUs:         8 × h100 on every node, simulated: they are scheduled and seen, and compute nothing
Registry:     localhost:5001, answers

NODE               ROLE            READY     ADDRESS      NVIDIA.COM/GPU
ai-control-plane   control-plane   yes       172.18.0.2   8
ai-worker          worker          stopped   -            -
`
	if diff := cmp.Diff(table, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestSandboxList(t *testing.T) {
	t.Parallel()
	plain := sampleCluster()
	plain.Name, plain.State, plain.Mark.Registry, plain.Mark.GPUs = "plain", cluster.Stopped, 0, cluster.GPUs{Mode: "none"}
	all := []cluster.Cluster{sampleCluster(), plain}
	list := sandboxList{APIVersion: outputVersion, Kind: "SandboxList"}
	for _, c := range all {
		list.Items = append(list.Items, viewOf(c))
	}
	for output, want := range map[string]string{
		"name": "sandbox/ai\nsandbox/plain\n",
		"": `NAME    STATE     NODES   KUBERNETES   GPUS                            REGISTRY         AGE
ai      Running   2       v1.36.3      8 × h100 on every node (fake)   localhost:5001   3d8h
plain   Stopped   2       v1.36.3      none                            none             3d8h
`,
	} {
		var out bytes.Buffer
		o := SandboxListOptions{Output: output, out: &out, now: func() time.Time { return all[0].Mark.Created.Add(80 * time.Hour) }}
		if err := o.print(list, all); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("-o %q: %s", output, diff)
		}
	}
}
