//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNodesMayHaveDifferentGPUs makes one sandbox of four nodes: cut GPUs,
// shared GPUs, many GPUs, and another board.
func TestNodesMayHaveDifferentGPUs(t *testing.T) {
	cluster := sandboxName + "-gpus"
	_ = exec.Command(plugin, "sandbox", "delete", "--name", cluster, "--yes").Run() // of a run that was killed
	t.Cleanup(func() { _ = exec.Command(plugin, "sandbox", "delete", "--name", cluster, "--yes").Run() })
	must(t, "sandbox", "create", "--name", cluster,
		"--node", "profile=h100,mig=all-1g.10gb", "--node", "profile=h100,time-slicing=4", "--node", "profile=a100-80,gpus=16", "--node", "profile=l4,gpus=3")
	must(t, "sandbox", "load", pythonImage, "--name", cluster)
	nodes := []string{cluster + "-control-plane", cluster + "-worker", cluster + "-worker2", cluster + "-worker3"}

	of := func(node, path string) string {
		t.Helper()
		return strings.TrimSpace(kubectl(t, cluster, "get", "node", node, "-o", "jsonpath={"+path+"}"))
	}
	label := func(node, key string) string {
		return of(node, ".metadata.labels."+strings.ReplaceAll("nvidia.com/"+key, ".", `\.`))
	}
	for i, want := range []struct{ gpus, mig, product, count, replicas, family string }{
		{"0", "56", "NVIDIA-H100-80GB-HBM3", "8", "0", "hopper"},
		{"32", "", "NVIDIA-H100-80GB-HBM3-SHARED", "8", "4", "hopper"},
		{"16", "", "NVIDIA-A100-SXM4-80GB", "16", "1", "ampere"},
		{"3", "", "NVIDIA-L4", "3", "1", "ada-lovelace"},
	} {
		node := nodes[i]
		got := []string{
			of(node, `.status.allocatable.nvidia\.com/gpu`), of(node, `.status.allocatable.nvidia\.com/mig-1g\.10gb`),
			label(node, "gpu.product"), label(node, "gpu.count"), label(node, "gpu.replicas"), label(node, "gpu.family"),
		}
		if wanted := []string{want.gpus, want.mig, want.product, want.count, want.replicas, want.family}; !slices.Equal(got, wanted) {
			t.Errorf("%s: allocatable GPUs and MIG devices, product, count, replicas, family are %q, want %q", node, got, wanted)
		}
	}
	if got := label(nodes[0], "mig-1g.10gb.count"); got != "56" {
		t.Errorf("label mig-1g.10gb.count = %q", got)
	}

	ns := namespace(t, cluster, "kinds")
	pod := func(name, node, resource string, count int) {
		t.Helper()
		apply(t, cluster, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  nodeName: %[3]s
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
  - name: main
    image: %[4]s
    imagePullPolicy: IfNotPresent
    command: [sleep, infinity]
    resources: {limits: {%[5]s: %[6]d}}
`, name, ns, node, pythonImage, resource, count))
		kubectl(t, cluster, "wait", "pod/"+name, "-n", ns, "--for=condition=Ready", "--timeout=120s")
	}
	in := func(name string, command ...string) string {
		t.Helper()
		return strings.TrimSpace(kubectl(t, cluster, append([]string{"exec", "-n", ns, name, "--"}, command...)...))
	}

	t.Run("a pod sees its MIG device and the GPU that it is part of", func(t *testing.T) {
		pod("mig", nodes[0], "nvidia.com/mig-1g.10gb", 1)
		visible := in("mig", "printenv", "NVIDIA_VISIBLE_DEVICES")
		lines := strings.Split(in("mig", "nvidia-smi", "-L"), "\n")
		if len(lines) != 2 || !regexp.MustCompile(`^GPU 0: NVIDIA H100 80GB HBM3 \(UUID: GPU-[0-9a-f-]{36}\)$`).MatchString(lines[0]) ||
			!regexp.MustCompile(`^  MIG 1g\.10gb     Device  0: \(UUID: MIG-[0-9a-f-]{36}\)$`).MatchString(lines[1]) || !strings.Contains(lines[1], visible) {
			t.Errorf("NVIDIA_VISIBLE_DEVICES is %s, nvidia-smi -L prints\n%s", visible, strings.Join(lines, "\n"))
		}
	})
	t.Run("two pods share a GPU", func(t *testing.T) {
		// Five of eight GPUs' first containers, then more: with nine there are
		// two on one GPU, whichever way they are chosen.
		owners := map[string]int{}
		for i := range 9 {
			name := fmt.Sprintf("shared%d", i)
			pod(name, nodes[1], "nvidia.com/gpu", 1)
			uuid := in(name, "printenv", "NVIDIA_VISIBLE_DEVICES")
			if !regexp.MustCompile(`^GPU-[0-9a-f-]{36}$`).MatchString(uuid) || !strings.Contains(in(name, "nvidia-smi", "-L"), uuid) {
				t.Errorf("%s has %q", name, uuid)
			}
			owners[uuid]++
		}
		if len(owners) != 8 { // distributed: each is used before one is used twice
			t.Errorf("nine containers on eight GPUs: %v", owners)
		}
	})
	t.Run("a pod may have sixteen", func(t *testing.T) {
		pod("many", nodes[2], "nvidia.com/gpu", 16)
		if got := strings.Count(in("many", "nvidia-smi", "-L"), "NVIDIA A100-SXM4-80GB"); got != 16 {
			t.Errorf("nvidia-smi sees %d", got)
		}
	})
	t.Run("a fault takes all parts of a GPU out", func(t *testing.T) {
		offers := func(i int, resource, want string) {
			t.Helper()
			eventually(t, 30*time.Second, func() error {
				if got := of(nodes[i], ".status.allocatable."+resource); got != want {
					return fmt.Errorf("%s offers %s, want %s", nodes[i], got, want)
				}
				return nil
			})
		}
		cut, shared := `nvidia\.com/mig-1g\.10gb`, `nvidia\.com/gpu`
		for i := range 2 {
			must(t, "sandbox", "gpu", "fail", "--name", cluster, "--node", nodes[i], "--gpu", "0", "--xid", "79")
		}
		offers(0, cut, "49")
		offers(1, shared, "28")
		if r := ai(t, "sandbox", "gpu", "fail", "--name", cluster, "--gpu", "0", "--lost"); r.code != 2 || !strings.Contains(r.stderr, "--node") {
			t.Errorf("on which of four nodes? exit %d\n%s", r.code, r.stderr)
		}
		must(t, "sandbox", "gpu", "heal", "--name", cluster)
		offers(0, cut, "56")
		offers(1, shared, "32")
	})
	t.Run("metrics tell MIG devices and who holds them", func(t *testing.T) {
		out, err := exec.Command("docker", "exec", nodes[0], "curl", "-sf", "http://127.0.0.1:9400/metrics").CombinedOutput()
		if err != nil || !regexp.MustCompile(`DCGM_FI_DEV_FB_FREE\{[^}]*GPU_I_PROFILE="1g.10gb",GPU_I_ID="\d+",[^}]*pod="mig"\}`).Match(out) {
			t.Errorf("%v: no memory of the device that the pod holds in\n%s", err, out)
		}
		if strings.Contains(string(out), "DCGM_FI_DEV_GPU_UTIL") {
			t.Error("a GPU that is cut tells its utilisation")
		}
	})
	t.Run("identities outlive the agent and the node", func(t *testing.T) {
		uuids := func() string {
			out, err := exec.Command("docker", "exec", nodes[3], "nvidia-smi", "-L").CombinedOutput()
			if err != nil {
				t.Fatalf("nvidia-smi in the node: %v\n%s", err, out)
			}
			return string(out)
		}
		before := uuids()
		if out, err := exec.Command("docker", "restart", nodes[3]).CombinedOutput(); err != nil {
			t.Fatalf("restart the node: %v\n%s", err, out)
		}
		eventually(t, 90*time.Second, func() error {
			if out, err := exec.Command("docker", "exec", nodes[3], "systemctl", "is-active", "kubectl-ai-gpu").CombinedOutput(); err != nil {
				return fmt.Errorf("ai-gpu: %s", out)
			}
			return nil
		})
		if after := uuids(); after != before {
			t.Errorf("identities were\n%sand are\n%s", before, after)
		}
	})
}
