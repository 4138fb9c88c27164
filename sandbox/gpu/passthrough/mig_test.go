package passthrough

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
	cdi "tags.cncf.io/container-device-interface/specs-go"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// capsFolder is where the driver tells the device nodes of MIG devices, in
// the machine's /proc alone.
const capsFolder = "/proc/driver/nvidia-caps"

// TestCDIOfMIGDevices runs itself again in a mount namespace of its own, where
// /proc tells of MIG devices.
func TestCDIOfMIGDevices(t *testing.T) {
	if os.Getenv("PASSTHROUGH_TEST_MIG") == "" {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /proc/driver && exec \"$@\"", "sh", program, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "PASSTHROUGH_TEST_MIG=1")
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), "permitted") || strings.Contains(string(out), "must be superuser") {
			t.Log("no mount namespace to be had here: CDI of MIG devices is not compared")
			return
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	m, all := simulated(t, spec.GPUs{Profile: "h100", Count: 2, MIG: mig.Layout{GPUs: map[int]map[string]int{1: {"3g.40gb": 2}}}, MIGStrategy: model.MIGMixed})
	if !makeNodes(t, m.Root, "nvidia0", "nvidia1", "nvidiactl") {
		return
	}
	var minors strings.Builder
	for i, d := range all.Devices[1].MIG {
		fmt.Fprintf(&minors, "gpu1/gi%d/access %d\ngpu1/gi%[1]d/ci%[3]d/access %[4]d\n", d.GPUInstance, 400+10*i, d.ComputeInstance, 401+10*i)
		for _, minor := range []int{400 + 10*i, 401 + 10*i} {
			makeNode(t, filepath.Join(m.Root, "dev/nvidia-caps", fmt.Sprintf("nvidia-cap%d", minor)))
		}
	}
	if err := os.MkdirAll(capsFolder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(capsFolder, "mig-minors"), []byte(minors.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	mine := all.Devices[1].MIG[1].UUID
	state, _, err := m.State(node("0000:1b:00.0", mine))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WriteCDI(state); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(m.CDIDir, specFile))
	if err != nil {
		t.Fatal(err)
	}
	var got cdi.Spec
	if err := yaml.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	nodes := map[string][]string{}
	for _, d := range got.Devices {
		for _, n := range d.ContainerEdits.DeviceNodes {
			nodes[d.Name] = append(nodes[d.Name], n.Path)
		}
		slices.Sort(nodes[d.Name])
	}
	slice := []string{"/dev/nvidia-caps/nvidia-cap410", "/dev/nvidia-caps/nvidia-cap411", "/dev/nvidia1"}
	want := map[string][]string{
		"0": {"/dev/nvidia0"}, all.Devices[0].UUID: {"/dev/nvidia0"},
		"1:0": slice, mine: slice, "all": append(slices.Clone(slice[:2]), "/dev/nvidia0", "/dev/nvidia1"),
	}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Errorf("device nodes by name (-want +got):\n%s", diff)
	}
}
