//go:build e2e

package gpu

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A GPU is as busy as the program that holds it, and idle without one.
func TestAGPUIsAsBusyAsItsProgram(t *testing.T) {
	const program = `
held = bytearray(300 << 20)
while True:
    pass
`
	pod(t, "busy", "1", "python", "-c", program)
	idle := pod(t, "idle", "1", "sleep", "infinity")
	eventually(t, func() error {
		busy := 0
		for _, d := range seen(t, "busy").Devices {
			if d.Utilization == 0 {
				continue
			}
			busy++
			if len(d.Processes) != 1 || d.Processes[0].PID != 1 || path.Base(d.Processes[0].Name) != "python" || d.UsedMemoryBytes < 300<<20 ||
				d.PowerMilliwatts <= 69850 || d.GraphicsClock != d.MaxGraphicsClock {
				return fmt.Errorf("the busy GPU: %+v", d)
			}
		}
		if busy != 1 {
			return fmt.Errorf("%d GPUs are busy, want 1", busy)
		}
		return nil
	})
	if out := inPod(t, "busy", "nvidia-smi --query-compute-apps=pid,process_name --format=csv,noheader"); out != "1, python\n" {
		t.Errorf("nvidia-smi in the pod tells of %q", out)
	}
	if out := ai(t, "ls", "-o", "json"); !strings.Contains(out, `"pod": "idle"`) || !strings.Contains(out, `"since": "`+idle.Status.StartTime.UTC().Format(time.RFC3339)) {
		t.Errorf("gpu ls:\n%s", out)
	}
	removePod(t, "busy")
	eventually(t, func() error {
		for _, d := range seenInNode(t).Devices {
			if d.Utilization != 0 || d.UsedMemoryBytes != 0 || len(d.Processes) != 0 {
				return fmt.Errorf("after its program has ended: %+v", d)
			}
		}
		return nil
	})
	t.Run("readings set by hand win", func(t *testing.T) {
		t.Cleanup(func() { ai(t, "heal") })
		ai(t, "set", "--gpu", "5", "--utilization", "100", "--temperature", "93")
		if d := seenInNode(t).Devices[5]; d.Utilization != 100 || d.Temperature != 93 || d.PowerMilliwatts != 700_000 {
			t.Errorf("GPU 5: %+v", d)
		}
	})
}

// Labels that somebody removes, or changes, are put right.
func TestLabelsComeBack(t *testing.T) {
	patch := `{"metadata": {"labels": {"nvidia.com/gpu.product": "nonsense", "nvidia.com/gpu.count": null, "nvidia.com/mig-1g.5gb.count": "3"}}}`
	if _, err := client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, []byte(patch), meta.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		n, err := client.CoreV1().Nodes().Get(t.Context(), node, meta.GetOptions{})
		if err != nil {
			return err
		}
		_, other := n.Labels["nvidia.com/mig-1g.5gb.count"]
		if n.Labels["nvidia.com/gpu.product"] != "NVIDIA-H100-80GB-HBM3" || n.Labels["nvidia.com/gpu.count"] != "8" || other {
			return fmt.Errorf("labels: %v", n.Labels)
		}
		return nil
	})
}
