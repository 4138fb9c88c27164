//go:build e2e

package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/cmd/kubectl-ai/payload"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

const gpuCluster = "kai-real"

// TestRealGPUs takes the path of real GPUs through a real kubelet and a real
// containerd, on a machine that has none: the nodes get what a machine with
// four H100 would show them, and the control plane has simulated L4. Device nodes are those of
// /dev/null, and the driver's library is the one for simulated GPUs, which
// ai-gpu opens as it would NVIDIA's.
func TestRealGPUs(t *testing.T) {
	m := newMachine(t)
	m.command("sandbox", "delete", "--name", gpuCluster, "--yes").Run() // of a run that was killed
	t.Cleanup(func() { m.command("sandbox", "delete", "--name", gpuCluster, "--yes").Run() })
	m.ai(0, "sandbox", "create", "--name", gpuCluster, "--nodes", "3", "--gpus", "none")
	m.ai(0, "sandbox", "load", "--name", gpuCluster, runtime)

	nodes, err := cluster.Nodes(t.Context(), gpuCluster)
	if err != nil {
		t.Fatal(err)
	}
	first, second := nodes[1], nodes[2]
	for _, n := range []cluster.Node{first, second} {
		pretend(t, n)
	}
	in := func(n cluster.Node, command ...string) string {
		t.Helper()
		out, err := n.Run(t.Context(), nil, command...)
		if err != nil {
			t.Fatalf("%v on %s: %v", command, n, err)
		}
		return strings.TrimSpace(string(out))
	}
	state, err := model.Decode([]byte(in(first, "cat", "/run/kubectl-ai/gpu/state.json")))
	if err != nil {
		t.Fatal(err)
	}
	gpu := func(i int) string { return state.Devices[i].UUID }

	err = install.Install(t.Context(), []install.Node{nodes[0], seeing{first}, seeing{second}}, payload.FS(), install.Options{
		Cluster: gpuCluster,
		GPUs:    []spec.GPUs{{Profile: "l4", Count: 3}, {Devices: []string{"0000:1b:00.0", "0000:1e:00.0"}}, {Devices: []string{gpu(2)}}},
		Kubectl: nodes[0].Kubectl,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("each node offers its own, and has no other", func(t *testing.T) {
		for _, c := range []struct {
			node       cluster.Node
			gpus, devs string
			simulated  bool
		}{
			{nodes[0], "3", "nvidia[0-9]*", true}, // that is, none
			{first, "2", "nvidia0 nvidia1", false},
			{second, "1", "nvidia2", false},
		} {
			out, err := nodes[0].Kubectl(t.Context(), nil, "get", "node", c.node.Name, "-o", `jsonpath={.status.allocatable.nvidia\.com/gpu} {.metadata.labels.nvidia\.com/gpu\.count} {.metadata.labels.kubectl-ai\.dev/gpu-simulated}`)
			if want := fmt.Sprint(c.gpus, " ", c.gpus, " ", c.simulated); err != nil || string(out) != want {
				t.Errorf("%s: offered, counted and simulated are %q (%v), want %q", c.node, out, err, want)
			}
			if got := in(c.node, "sh", "-c", "cd /dev && echo nvidia[0-9]*"); got != c.devs {
				t.Errorf("%s has %s, want %s", c.node, got, c.devs)
			}
			if c.simulated {
				continue
			}
			if got := in(c.node, "cat", "/proc/driver/nvidia/params"); got != "ModifyDeviceFiles: 0" {
				t.Errorf("%s: the driver's parameters are %q: its libraries would make the device nodes anew", c.node, got)
			}
		}
	})
	t.Run("a pod has the devices and files of its GPU alone", func(t *testing.T) {
		p := startPod(t, nodes[0], "one", second.Name, "nvidia.com/gpu: 1")
		if got := p.sh(t, "printenv NVIDIA_VISIBLE_DEVICES"); got != gpu(2) {
			t.Errorf("its GPU is %s, want %s", got, gpu(2))
		}
		if got := p.sh(t, "cd /dev && ls -d nvidia*"); got != "nvidia-uvm\nnvidia-uvm-tools\nnvidia2\nnvidiactl" {
			t.Errorf("its device nodes are\n%s", got)
		}
		if got := p.sh(t, "nvidia-smi"); got != "the driver's nvidia-smi" {
			t.Errorf("nvidia-smi prints %q", got)
		}
		// The hooks ran: a library is found by the name that programs know.
		libraries := p.sh(t, "ldconfig -p | grep -oE 'lib(cuda|nvidia-ml)\\.so\\.1 ' | sort -u; readlink /usr/lib/x86_64-linux-gnu/libcuda.so")
		if libraries != "libcuda.so.1 \nlibnvidia-ml.so.1 \nlibcuda.so.1" {
			t.Errorf("ldconfig knows, and libcuda.so is\n%s", libraries)
		}
		if got := p.sh(t, `python3 -c 'import ctypes; l = ctypes.CDLL("libnvidia-ml.so.1"); n = ctypes.c_uint(); print(l.nvmlInit_v2(), l.nvmlDeviceGetCount_v2(ctypes.byref(n)), n.value)'`); got != "0 0 1" {
			t.Errorf("NVML in the pod: %s", got)
		}
	})
	t.Run("two GPUs are both there", func(t *testing.T) {
		p := startPod(t, nodes[0], "two", first.Name, "nvidia.com/gpu: 2")
		visible := strings.Split(p.sh(t, "printenv NVIDIA_VISIBLE_DEVICES"), ",")
		slices.Sort(visible)
		want := []string{gpu(0), gpu(1)}
		slices.Sort(want)
		if diff := cmp.Diff(want, visible); diff != "" {
			t.Error(diff)
		}
		if got := p.sh(t, "cd /dev && ls -d nvidia[0-9]*"); got != "nvidia0\nnvidia1" {
			t.Errorf("its device nodes are\n%s", got)
		}
	})
	t.Run("a pod that asks for none has none", func(t *testing.T) {
		p := startPod(t, nodes[0], "none", first.Name, "memory: 64Mi")
		if got := p.sh(t, "ls -d /dev/nvidia* 2>/dev/null || echo none"); got != "none" {
			t.Errorf("it has\n%s", got)
		}
	})
	t.Run("restarts of ai-gpu change nothing", func(t *testing.T) {
		in(second, "systemctl", "restart", "kubectl-ai-gpu")
		spec := func() string { return in(second, "cat", "/var/run/cdi/kubectl-ai.yaml") }
		named := regexp.MustCompile(`name: "?[\w:-]+"?`).FindAllString(spec(), -1)
		want := []string{`name: "0"`, "name: " + gpu(2), "name: all"}
		slices.Sort(named)
		slices.Sort(want)
		if diff := cmp.Diff(want, named); diff != "" {
			t.Errorf("CDI names (-want +got):\n%s", diff)
		}
	})
}

// seeing is a node whose commands see all GPUs through the simulated library,
// which shows what a variable names.
type seeing struct{ cluster.Node }

func (n seeing) Run(ctx context.Context, stdin io.Reader, cmd ...string) ([]byte, error) {
	if cmd[0] == model.AgentPath {
		cmd = append([]string{"env", model.VisibleDevices + "=all"}, cmd...)
	}
	return n.Node.Run(ctx, stdin, cmd...)
}

// pretend makes a node look like one of a machine with a driver and four GPUs.
func pretend(t *testing.T, n cluster.Node) {
	t.Helper()
	library, err := fs.ReadFile(payload.FS(), "linux-"+n.Engine().Arch+"/libnvidia-ml.so.1")
	if err != nil {
		t.Fatal(err)
	}
	simulator, err := fs.ReadFile(payload.FS(), "linux-"+n.Engine().Arch+"/ai-gpu")
	if err != nil {
		t.Fatal(err)
	}
	machine, err := spec.Node{Cluster: "machine", Name: "machine", GPUs: spec.GPUs{
		Profile: "h100", Count: 4,
	}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	// A mount, as the driver's files are: nothing can be run from /run itself.
	if out, err := n.Run(t.Context(), nil, "sh", "-c", `mkdir -p /opt/driver "$1" && mount --bind /opt/driver "$1"`, "sh", driver.NodeRoot); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	libraries := driver.NodeRoot + "/usr/lib/x86_64-linux-gnu/"
	for path, content := range map[string][]byte{
		libraries + "libnvidia-ml.so." + model.DefaultDriver:        library,
		libraries + "libcuda.so." + model.DefaultDriver:             renamed(library),
		driver.NodeRoot + "/usr/bin/nvidia-smi":                     []byte("#!/bin/sh\necho \"the driver's nvidia-smi\"\n"),
		"/usr/local/bin/simulator":                                  simulator,
		"/tmp/machine.json":                                         machine,
		"/etc/systemd/system/kubectl-ai-gpu.service.d/machine.conf": []byte("[Service]\nEnvironment=" + model.VisibleDevices + "=all\n"),
	} {
		if err := n.WriteFile(t.Context(), path, 0o755, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	var script strings.Builder
	script.WriteString(`set -e
mount -t tmpfs tmpfs /proc/driver
for d in nvidiactl nvidia-uvm nvidia-uvm-tools nvidia0 nvidia1 nvidia2 nvidia3; do mknod -m 666 /dev/$d c 1 3; done
`)
	for i := range 4 {
		folder := fmt.Sprintf("/proc/driver/nvidia/gpus/0000:%02x:00.0", 0x1b+3*i)
		fmt.Fprintf(&script, "mkdir -p %[1]s; printf 'Model: \\t NVIDIA H100\\nDevice Minor: \\t %[2]d\\n' >%[1]s/information\n", folder, i)
	}
	script.WriteString(`echo "ModifyDeviceFiles: 1" >/proc/driver/nvidia/params
/usr/local/bin/simulator serve --spec /tmp/machine.json --state /run/kubectl-ai/gpu --plugin-dir /tmp/plugins 2>/tmp/simulator.log &
until [ -e /run/kubectl-ai/gpu/state.json ]; do kill -0 $! || { cat /tmp/simulator.log; exit 1; }; sleep 0.1; done
kill $!
systemctl daemon-reload
`)
	if out, err := n.Run(t.Context(), nil, "sh", "-c", script.String()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// renamed is a library under the name of another one.
func renamed(library []byte) []byte {
	return bytes.ReplaceAll(library, []byte("libnvidia-ml.so.1\x00"), []byte("libcuda.so.1\x00\x00\x00\x00\x00\x00"))
}

// pod is a pod that sleeps.
type pod struct {
	control cluster.Node
	name    string
}

func startPod(t *testing.T, control cluster.Node, name, node, limit string) pod {
	t.Helper()
	manifest := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  nodeName: %s
  terminationGracePeriodSeconds: 0
  volumes: [{name: machine, hostPath: {path: /run/kubectl-ai/gpu}}]
  containers:
  - name: main
    image: %s
    imagePullPolicy: IfNotPresent
    command: [sleep, infinity]
    volumeMounts: [{name: machine, mountPath: /run/kubectl-ai/gpu, readOnly: true}]
    resources: {limits: {%s}}
`, name, node, runtime, limit)
	if out, err := control.Kubectl(t.Context(), strings.NewReader(manifest), "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := control.Kubectl(t.Context(), nil, "wait", "pod/"+name, "--for=condition=Ready", "--timeout=60s"); err != nil {
		describe, _ := control.Kubectl(context.WithoutCancel(t.Context()), nil, "describe", "pod", name)
		t.Fatalf("%v\n%s", err, describe)
	}
	return pod{control, name}
}

// sh runs a script in the pod.
func (p pod) sh(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", "exec", p.control.Name, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "exec", p.name, "--", "sh", "-c", script)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}
