package command

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

func reported() []model.Report {
	gpu := func(index int, uuid string) model.Device {
		return model.Device{Index: index, UUID: uuid, Name: "NVIDIA X", MemoryBytes: 80 << 30, Temperature: 40, PowerMilliwatts: 70_000}
	}
	busy, lost, cut := gpu(0, "GPU-a"), gpu(1, "GPU-b"), gpu(2, "GPU-c")
	busy.Utilization, busy.UsedMemoryBytes, busy.Fault = 50, 2<<20, model.Fault{XID: 31}
	lost.Fault = model.Fault{XID: 79, Lost: true, Since: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	cut.MIG = []model.MIGDevice{{UUID: "MIG-d", Profile: "1g.10gb", GPUInstance: 9, MemoryBytes: 10 << 30, Utilization: 7}}
	return []model.Report{{
		State: model.State{Node: "n", Simulated: true, Devices: []model.Device{busy, lost, cut}},
		Holders: []model.Holder{
			{Namespace: "a", Pod: "p", Container: "c", Devices: []string{"GPU-a", "GPU-b"}},
			{Namespace: "a", Pod: "q", Container: "c", Devices: []string{"MIG-d"}},
		},
	}}
}

func TestGPUTable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 5, 0, 0, time.UTC)
	list := viewGPUs(reported(), map[string]time.Time{"a/p": now.Add(-90 * time.Second)}, nil)
	var narrow, all strings.Builder
	if err := list.table(&narrow, false, now); err != nil {
		t.Fatal(err)
	}
	want := `NODE   GPU   PRODUCT       HEALTH                                                      UTIL   MEMORY       HELD BY
n      0     NVIDIA X      ok (XID 31: a program used an address that is not mapped)   50%    2/81920MiB   a/p (c) 90s
n      1     NVIDIA X      XID 79: the GPU has fallen off the bus                      -      -            a/p (c) 90s
n      2     NVIDIA X      ok                                                          N/A    0/81920MiB   -
n      2/9   MIG 1g.10gb   ok                                                          7%     0/10240MiB   a/q (c)
`
	if diff := cmp.Diff(want, narrow.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := list.table(&all, true, now); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(all.String(), "\n"); !strings.Contains(lines[1], "GPU-a") || !strings.Contains(lines[1], "40°C") || !strings.Contains(lines[1], "70W") {
		t.Errorf("wide:\n%s", all.String())
	}
	if diff := cmp.Diff([]string{"gpu/GPU-a", "gpu/GPU-b", "gpu/GPU-c"}, list.names()); diff != "" {
		t.Errorf("names -want +got:\n%s", diff)
	}
}

// The fields of -o json are a contract.
func TestGPUJSON(t *testing.T) {
	t.Parallel()
	list := viewGPUs(reported(), nil, func(_ string, d model.Device) bool { return d.Index == 1 })
	got, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"apiVersion":"kubectl-ai.dev/v1alpha1","kind":"GPUList","items":[{"node":"n","index":1,"uuid":"GPU-b","product":"NVIDIA X","simulated":true,` +
		`"healthy":false,"xid":79,"fault":"XID 79: the GPU has fallen off the bus","faultSince":"2026-11-01T12:00:00Z","lost":true,"utilization":0,` +
		`"memoryBytes":85899345920,"memoryUsedBytes":0,"temperature":40,"powerWatts":70,"replicas":1,"holders":[{"namespace":"a","pod":"p","container":"c"}]}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNodesWithGPUs(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster{Nodes: []cluster.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	c.Mark.GPUs.Mode = "fake"
	if got := nodeNames(equipped(c)); len(got) != 3 {
		t.Errorf("a sandbox of before: %v", got)
	}
	c.Mark.GPUs.Nodes = []spec.GPUs{{}, {Count: 8}, {Count: 1}}
	if diff := cmp.Diff([]string{"b", "c"}, nodeNames(equipped(c))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := only(equipped(c)); err == nil || !strings.Contains(err.Error(), "b, c") {
		t.Errorf("two nodes: %v", err)
	}
	c.Mark.GPUs.Mode = "none"
	if got := equipped(c); len(got) > 0 {
		t.Errorf("without GPUs: %v", got)
	}
}
