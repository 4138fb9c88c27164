package metrics_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/metrics"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

func simulated(t *testing.T, g spec.GPUs) model.State {
	t.Helper()
	s, err := nvmlsource.Simulated(spec.Node{Cluster: "ai", Name: "n", GPUs: g})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func page(t *testing.T, p metrics.Page) string {
	t.Helper()
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	labelValue  = regexp.MustCompile(`="[^"]*"`)
	sampleValue = regexp.MustCompile(`\} .*`)
)

// form is a page without values: its lines in order.
func form(page string) (lines []string) {
	for line := range strings.SplitSeq(page, "\n") {
		switch {
		case strings.HasPrefix(line, "DCGM_"):
			lines = append(lines, sampleValue.ReplaceAllString(labelValue.ReplaceAllString(line, "="), "}"))
		case strings.HasPrefix(line, "# "):
			lines = append(lines, line)
		}
	}
	return lines
}

// A page has the lines of a real exporter's, in its order, but for values.
// What real nodes show is no part of the project: KUBECTL_AI_SHARED says
// where it is.
func TestLikeARealExporter(t *testing.T) {
	shared := os.Getenv("KUBECTL_AI_SHARED")
	if shared == "" {
		shared = "../../../../shared"
	}
	cut := spec.GPUs{
		Profile: "a100-40", Count: 1, MIGStrategy: model.MIGMixed,
		MIG: mig.Layout{GPUs: map[int]map[string]int{0: {"1g.5gb": 3, "2g.10gb": 1}}},
	}
	empty := simulated(t, cut)
	empty.Devices[0].MIG = nil
	for name, state := range map[string]model.State{
		"dcgm-2xT4-one-busy":          simulated(t, spec.GPUs{Profile: "t4", Count: 2}),
		"dcgm-a100-mig-disabled-idle": simulated(t, spec.GPUs{Profile: "a100-40", Count: 1}),
		"dcgm-a100-mig-4active":       simulated(t, cut),
		"dcgm-a100-mig-enabled-empty": empty,
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(shared, "data", "nvidia", name+".prom.txt"))
			if err != nil {
				t.Logf("not compared with a real exporter: %v", err)
				return
			}
			// One file holds two pages of the same form.
			real, _, _ := strings.Cut(strings.TrimLeft(string(raw[strings.Index(string(raw), "# "):]), "-\n"), "\n---")
			if diff := cmp.Diff(form(real), form(page(t, metrics.Page{State: state, Host: "n"}))); diff != "" {
				t.Errorf("-real +simulated:\n%s", diff)
			}
		})
	}
}

func TestPage(t *testing.T) {
	state := simulated(t, spec.GPUs{Profile: "h100", Count: 3})
	state.Devices[1].Fault = model.Fault{XID: 79, Lost: true}
	state.Devices[2].Fault = model.Fault{XID: 31}
	state.Devices[0].Utilization = 50
	p := metrics.Page{State: state, Host: "n", Energy: map[string]uint64{state.Devices[0].UUID: 1234}, Holders: []model.Holder{
		{Namespace: "a", Pod: "p", Container: "c", Devices: []string{state.Devices[0].UUID}},
		{Namespace: "b", Pod: "q", Container: "d", Devices: []string{state.Devices[0].UUID}},
	}}
	lines := strings.Split(page(t, p), "\n")
	labels := func(i int, holder string) string {
		return `gpu="` + string(rune('0'+i)) + `",UUID="` + state.Devices[i].UUID + `",device="nvidia` + string(rune('0'+i)) +
			`",modelName="NVIDIA H100 80GB HBM3",Hostname="n",DCGM_FI_DRIVER_VERSION="590.48.01",` + holder
	}
	const first, second, none = `container="c",namespace="a",pod="p"`, `container="d",namespace="b",pod="q"`, `container="",namespace="",pod=""`
	for _, want := range []string{
		"DCGM_FI_DEV_GPU_UTIL{" + labels(0, first) + "} 50",
		"DCGM_FI_DEV_GPU_UTIL{" + labels(0, second) + "} 50",
		"DCGM_FI_DEV_POWER_USAGE{" + labels(2, none) + "} 69.850000",
		"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{" + labels(0, first) + "} 1234",
		"DCGM_FI_PROF_GR_ENGINE_ACTIVE{" + labels(0, first) + "} 0.500000",
		"DCGM_FI_DEV_XID_ERRORS{" + labels(1, none) + "} 79",
		"DCGM_FI_DEV_XID_ERRORS{" + labels(2, none) + "} 31",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for _, line := range lines {
		if strings.Contains(line, state.Devices[1].UUID) && !strings.HasPrefix(line, "DCGM_FI_DEV_XID_ERRORS") {
			t.Errorf("nothing can be read of a GPU that is lost: %s", line)
		}
	}
}

func TestMeter(t *testing.T) {
	s := model.State{Devices: []model.Device{{UUID: "GPU-a", PowerMilliwatts: 100_000}}}
	var m metrics.Meter
	start := time.Unix(1000, 0)
	m.Read(s, start)
	if got := m.Read(s, start.Add(90*time.Second))["GPU-a"]; got != 9_000_000 {
		t.Errorf("100 W for 90 s: %d mJ", got)
	}
}
