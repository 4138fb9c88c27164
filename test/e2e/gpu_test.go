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

// allocatable returns the GPUs that the nodes of a cluster offer.
func allocatable(t *testing.T, cluster string) []string {
	t.Helper()
	return strings.Fields(kubectl(t, cluster, "get", "nodes", "-o", `jsonpath={.items[*].status.allocatable.nvidia\.com/gpu}`))
}

func TestGPUsAreAllocatedByARealKubelet(t *testing.T) {
	if got := allocatable(t, sandboxName); !slices.Equal(got, []string{"8", "8"}) {
		t.Fatalf("allocatable nvidia.com/gpu = %v, want 8 on each of two nodes", got)
	}
	ns := namespace(t, sandboxName, "gpus")
	apply(t, sandboxName, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: %s
    imagePullPolicy: IfNotPresent
    command: [sleep, infinity]
    resources: {limits: {nvidia.com/gpu: 2}}
`, ns, pythonImage))
	must(t, "sandbox", "load", pythonImage, "--name", sandboxName)
	kubectl(t, sandboxName, "wait", "pod/two", "-n", ns, "--for=condition=Ready", "--timeout=90s")
	seen := func() []string {
		out := kubectl(t, sandboxName, "exec", "-n", ns, "two", "--", "nvidia-smi", "-L")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		form := regexp.MustCompile(`^GPU \d+: NVIDIA H100 80GB HBM3 \(UUID: (GPU-[0-9a-f-]{36})\)$`)
		var uuids []string
		for _, line := range lines {
			m := form.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("nvidia-smi -L prints %q", line)
			}
			uuids = append(uuids, m[1])
		}
		return uuids
	}
	visible := strings.Split(strings.TrimSpace(kubectl(t, sandboxName, "exec", "-n", ns, "two", "--", "printenv", "NVIDIA_VISIBLE_DEVICES")), ",")
	got := seen()
	slices.Sort(visible)
	slices.Sort(got)
	if len(got) != 2 || !slices.Equal(got, visible) {
		t.Errorf("nvidia-smi sees %v, NVIDIA_VISIBLE_DEVICES is %v", got, visible)
	}

	container := func() string {
		return kubectl(t, sandboxName, "get", "pod", "two", "-n", ns, "-o", "jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}")
	}
	before := container()
	node := strings.TrimSpace(kubectl(t, sandboxName, "get", "pod", "two", "-n", ns, "-o", "jsonpath={.spec.nodeName}"))
	if out, err := exec.Command("docker", "exec", node, "systemctl", "restart", "kubelet").CombinedOutput(); err != nil {
		t.Fatalf("restart the kubelet: %v\n%s", err, out)
	}
	time.Sleep(time.Second) // the Node object shows the old count until the kubelet speaks again
	kubectl(t, sandboxName, "wait", "--for=condition=Ready", "--timeout=2m", "node/"+node)
	eventually(t, 2*time.Minute, func() error {
		if got := allocatable(t, sandboxName); !slices.Equal(got, []string{"8", "8"}) {
			return fmt.Errorf("allocatable = %v", got)
		}
		return nil
	})
	if after := container(); after != before {
		t.Errorf("the container changed with the kubelet's restart: %s, was %s", after, before)
	}
}
