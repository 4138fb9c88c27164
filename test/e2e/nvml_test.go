//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// nvmlScript asks as pynvml does, with the standard library alone.
const nvmlScript = `
import ctypes as c, os
lib = c.CDLL("libnvidia-ml.so.1")
assert lib.nvmlInit_v2() == 0
count = c.c_uint()
assert lib.nvmlDeviceGetCount_v2(c.byref(count)) == 0
for i in range(count.value):
    h, uuid, name = c.c_void_p(), c.create_string_buffer(96), c.create_string_buffer(96)
    assert lib.nvmlDeviceGetHandleByIndex_v2(i, c.byref(h)) == 0
    assert lib.nvmlDeviceGetUUID(h, uuid, 96) == 0 and lib.nvmlDeviceGetName(h, name, 96) == 0
    print(uuid.value.decode(), name.value.decode())
print("first version", lib.nvmlInit())
`

func TestProgramsSeeTheirGPUsThroughNVML(t *testing.T) {
	ns := namespace(t, sandboxName, "nvml")
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
    securityContext: {runAsUser: 65534, readOnlyRootFilesystem: true}
    resources: {limits: {nvidia.com/gpu: 2}}
`, ns, pythonImage))
	must(t, "sandbox", "load", pythonImage, "--name", sandboxName)
	kubectl(t, sandboxName, "wait", "pod/two", "-n", ns, "--for=condition=Ready", "--timeout=90s")
	visible := strings.Split(strings.TrimSpace(kubectl(t, sandboxName, "exec", "-n", ns, "two", "--", "printenv", "NVIDIA_VISIBLE_DEVICES")), ",")
	var want []string
	for _, uuid := range visible {
		want = append(want, uuid+" NVIDIA H100 80GB HBM3")
	}
	slices.Sort(want)
	want = append(want, "first version 9") // by which PyTorch asks whether there is CUDA
	got := strings.Split(strings.TrimSpace(kubectl(t, sandboxName, "exec", "-n", ns, "two", "--", "python3", "-c", nvmlScript)), "\n")
	slices.Sort(got[:len(got)-1])
	if len(visible) != 2 || !slices.Equal(got, want) {
		t.Errorf("NVML shows %q, want %q", got, want)
	}
}
