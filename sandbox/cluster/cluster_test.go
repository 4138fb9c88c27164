package cluster

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	kinderrors "sigs.k8s.io/kind/pkg/errors"
	kindexec "sigs.k8s.io/kind/pkg/exec"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

func TestGroup(t *testing.T) {
	t.Parallel()
	node := func(cluster, name, role string, running bool) engine.Container {
		return engine.Container{Name: name, Running: running, Labels: map[string]string{clusterLabel: cluster, roleLabel: role}}
	}
	m := &Manager{}
	got := m.group([]engine.Container{
		node("b", "b-worker", Worker, false), node("b", "b-control-plane", ControlPlane, true),
		node("a", "a-worker10", Worker, true), node("a", "a-worker2", Worker, true), node("a", "a-control-plane", ControlPlane, true),
		node("c", "c-control-plane", ControlPlane, false), node("c", "c-external-load-balancer", "external-load-balancer", false),
		{Name: "stranger"},
	})
	type row struct {
		Name  string
		State State
		Nodes string
	}
	var rows []row
	for _, c := range got {
		var names []string
		for _, n := range c.Nodes {
			names = append(names, n.Name)
		}
		rows = append(rows, row{c.Name, c.State, strings.Join(names, " ")})
	}
	want := []row{
		{"a", Running, "a-control-plane a-worker2 a-worker10"},
		{"b", Partial, "b-control-plane b-worker"},
		{"c", Stopped, "c-control-plane"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

func TestMarkRoundTrip(t *testing.T) {
	t.Parallel()
	want := Mark{
		Name: "ai", Created: time.Unix(1, 0).UTC(), Image: "kubectl-ai/node:v1.36.3", Kubernetes: "v1.36.3",
		GPUs: Equip([]spec.GPUs{{}, {Profile: "h100", Count: 8}}), Registry: 5001, Routes: map[string][]string{"ai-worker": {"10.244.1.0/24"}}, OwnNetwork: true,
		Addresses: []Address{{"ai-control-plane", "172.18.0.2"}},
	}
	content, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, decodeMark(content), cmpopts.IgnoreFields(Mark{}, "APIVersion", "Kind")); diff != "" {
		t.Error(diff)
	}
}

func TestMarksOfOtherVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content  string
		ours     bool
		registry int
	}{
		"a field of another type": {`{"kind":"SandboxMark","routes":true,"registry":5001}`, true, 5001},
		"an unknown field":        {`{"kind":"SandboxMark","later":1,"registry":5001}`, true, 5001},
		"cut short":               {`{"kind":"SandboxMark","regis`, true, 0},
		"somebody else's file":    {`{"kind":"Other"}`, false, 0},
	} {
		mark := decodeMark([]byte(c.content))
		if (mark != nil) != c.ours || mark != nil && mark.Registry != c.registry {
			t.Errorf("%s: %+v", name, mark)
		}
	}
}

func TestAddressesAreInTheirOrder(t *testing.T) {
	t.Parallel()
	got := addresses([]engine.Container{{Name: "b", Address: "172.18.0.10"}, {Name: "a", Address: "172.18.0.9"}, {Name: "stopped"}})
	if diff := cmp.Diff([]Address{{"a", "172.18.0.9"}, {"b", "172.18.0.10"}}, got); diff != "" {
		t.Error(diff)
	}
}

const nodesJSON = `{"items":[
 {"metadata":{"name":"ai-control-plane"},"spec":{"podCIDRs":["10.244.0.0/24","fd00:10:244::/64"]},
  "status":{"addresses":[{"type":"Hostname","address":"ai-control-plane"},{"type":"InternalIP","address":"172.18.0.2"},{"type":"InternalIP","address":"fc00::2"}],
   "allocatable":{"cpu":"2","nvidia.com/gpu":"8"},"nodeInfo":{"kubeletVersion":"v1.36.3"},
   "conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True","lastHeartbeatTime":"t1"}]}},
 {"metadata":{"name":"ai-worker"},"spec":{"podCIDRs":["10.244.1.0/24"]},
  "status":{"addresses":[{"type":"InternalIP","address":"172.18.0.3"}],"conditions":[{"type":"Ready","status":"Unknown","lastHeartbeatTime":"t1"}]}}]}`

func TestParsePodNetworks(t *testing.T) {
	t.Parallel()
	got, err := parsePodNetworks([]byte(nodesJSON))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"ai-control-plane": {"10.244.0.0/24"}, "ai-worker": {"10.244.1.0/24"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseStatuses(t *testing.T) {
	t.Parallel()
	got, err := parseStatuses([]byte(nodesJSON))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]NodeStatus{
		"ai-control-plane": {Ready: true, Kubernetes: "v1.36.3", GPUs: 8},
		"ai-worker":        {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadinessAfterARestartWantsANewHeartbeat(t *testing.T) {
	t.Parallel()
	allReady := strings.Replace(nodesJSON, `"Unknown"`, `"True"`, 1)
	r := readiness{nodes: 2, fresh: true, first: map[string]string{}}
	for _, step := range []struct{ list, waiting string }{
		{allReady, "not ready: ai-control-plane, ai-worker"},                                                                   // stale
		{strings.Replace(allReady, `"t1"`, `"t2"`, 1), "not ready: ai-worker"},                                                 // one heartbeat
		{strings.ReplaceAll(strings.Replace(allReady, `"True"`, `"False"`, 1), `"t1"`, `"t2"`), "not ready: ai-control-plane"}, // fresh, and not ready
		{strings.ReplaceAll(allReady, `"t1"`, `"t2"`), ""},
	} {
		waiting, err := r.judge([]byte(step.list))
		if err != nil || waiting != step.waiting {
			t.Errorf("waiting for %q (%v), want %q", waiting, err, step.waiting)
		}
	}
	r = readiness{nodes: 3, first: map[string]string{}}
	if waiting, _ := r.judge([]byte(allReady)); waiting != "2 of 3 nodes have joined" {
		t.Errorf("waiting for %q", waiting)
	}
}

func TestDiagnosisKeepsTheLinesThatMatter(t *testing.T) {
	t.Parallel()
	run := &kindexec.RunError{
		Command: []string{"docker", "exec", "--privileged", "ai-control-plane", "kubeadm", "init", "--v=6"},
		Inner:   errors.New("exit status 1"),
		Output: []byte("I1124 10:00:00.1 noise with error in it\n[init] fine\n[kubelet-check] The kubelet is not healthy after 4m0s, failed\n" +
			"[kubelet-check] The kubelet is not healthy after 4m0s, failed\nerror execution phase wait-control-plane\n"),
	}
	err := kinderrors.Wrap(run, "failed to init node with kubeadm")
	want := []string{"[kubelet-check] The kubelet is not healthy after 4m0s, failed", "error execution phase wait-control-plane"}
	if diff := cmp.Diff(want, relevant(runOutput(err))); diff != "" {
		t.Error(diff)
	}
	if got := plain(err).Error(); got != "kubeadm init: exit status 1" {
		t.Errorf("plain: %q", got)
	}
	aggregate := kinderrors.NewAggregate([]error{kinderrors.New("other"), err})
	if diff := cmp.Diff(want, relevant(runOutput(aggregate))); diff != "" {
		t.Error(diff)
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"Failed to create watcher: too many open files":                                                     "fs.inotify",
		"write /var/x: no space left on device":                                                             "disk space",
		"kubelet is configured to not run: failCgroupV1":                                                    "cgroup v1",
		"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?": "kubectl ai doctor",
		"something that nobody knows":                                                                       "--retain",
	} {
		if got := hint(log); !strings.Contains(got, want) {
			t.Errorf("hint(%q) = %q", log, got)
		}
	}
}
