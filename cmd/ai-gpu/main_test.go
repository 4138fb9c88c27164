package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

func TestServe(t *testing.T) {
	dir := t.TempDir()
	state, plugins := filepath.Join(dir, "state"), filepath.Join(dir, "plugins")
	ctx, cancel := context.WithCancel(t.Context())
	var out, log strings.Builder
	exit := make(chan int, 1)
	file := filepath.Join(dir, "gpu.json")
	if err := os.WriteFile(file, []byte(`{"cluster": "ai", "name": "n1", "gpus": {"profile": "b200", "count": 3}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		exit <- run(ctx, []string{"serve", "--spec", file, "--state", state, "--plugin-dir", plugins, "--kubeconfig", "", "--metrics", ""}, &out, &log)
	}()
	deadline := time.Now().Add(20 * time.Second)
	for {
		if sockets, _ := filepath.Glob(filepath.Join(plugins, "*.sock")); len(sockets) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no socket for the kubelet")
		}
		time.Sleep(5 * time.Millisecond)
	}
	// The state is there before the socket is.
	s, err := model.Read(state)
	if err != nil {
		t.Fatal(err)
	}
	if s.Cluster != "ai" || s.Node != "n1" || !s.Simulated || len(s.Devices) != 3 || s.Devices[2].Name != "NVIDIA B200" {
		t.Errorf("state: %+v", s)
	}
	cancel()
	if got := <-exit; got != 0 {
		t.Errorf("exit %d when asked to end:\n%s", got, log.String())
	}
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := []struct {
		args, says string
		exit       int
	}{
		{"", "ai-gpu serve", 2},
		{"fail --xid 79", "ai-gpu fail", 2},
		{"set --power 100", "ai-gpu set", 2},
		{"set --gpu 0 --power much", "not a number", 2},
		{"ls --state " + filepath.Join(dir, "missing"), "no such file", 1},
		{"frobnicate", "ai-gpu serve", 2},
		{"serve more", "ai-gpu serve", 2},
		{"serve --frobnicate", "frobnicate", 2},
		{"serve --help", "-plugin-dir", 0},
		{"serve --spec " + filepath.Join(dir, "missing"), "no such file", 1},
		{"serve --spec " + file("broken", "{"), "decode the GPUs", 1},
		{"serve --spec " + file("nameless", "{}"), "no cluster", 1},
		{"serve --spec " + file("unknown", `{"cluster": "c", "name": "n", "gpus": {"profile": "voodoo", "count": 1}}`), "voodoo", 1},
		{"state --spec " + file("real", `{"cluster": "c", "name": "n", "gpus": {"devices": ["all"]}}`), "simulates GPUs", 1},
		{"serve --spec " + file("none", `{"cluster": "c", "name": "n", "gpus": {"profile": "h100"}}`), "0 GPUs", 1},
	}
	for _, c := range cases {
		t.Run(c.says, func(t *testing.T) {
			var out strings.Builder
			if exit := run(t.Context(), strings.Fields(c.args), &out, &out); exit != c.exit || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit %d, want %d with %q:\n%s", exit, c.exit, c.says, out.String())
			}
		})
	}
}

// agentOf runs ai-gpu serve for three simulated GPUs until stop.
func agentOf(t *testing.T, dir string) (stop func()) {
	t.Helper()
	file := filepath.Join(dir, "gpu.json")
	if err := os.WriteFile(file, []byte(`{"cluster": "ai", "name": "n1", "gpus": {"profile": "h100", "count": 3}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out, log strings.Builder
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"serve", "--spec", file, "--state", dir, "--plugin-dir", filepath.Join(dir, "plugins"), "--kubeconfig", "", "--metrics", ""}, &out, &log)
	}()
	return func() {
		t.Helper()
		cancel()
		if got := <-exit; got != 0 {
			t.Errorf("exit %d when asked to end:\n%s", got, log.String())
		}
	}
}

func TestFailAndHeal(t *testing.T) {
	dir := t.TempDir()
	stop := agentOf(t, dir)
	do := func(args string) model.State {
		t.Helper()
		var out, log strings.Builder
		if exit := run(t.Context(), append(strings.Fields(args), "--state", dir), &out, &log); exit != 0 {
			t.Fatalf("ai-gpu %s: exit %d\n%s", args, exit, log.String())
		}
		var r model.Report
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	refused := func(args, says string) {
		t.Helper()
		var out, log strings.Builder
		if exit := run(t.Context(), append(strings.Fields(args), "--state", dir), &out, &log); exit != 1 || !strings.Contains(log.String(), says) {
			t.Errorf("ai-gpu %s: exit %d, want 1 with %q\n%s", args, exit, says, log.String())
		}
	}
	healthy := func(s model.State) (list []bool) {
		for _, u := range s.Units()[model.Resource] {
			list = append(list, u.Healthy)
		}
		return list
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := model.Read(dir); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no state")
		}
	}

	if s := do("fail --gpu 1 --xid 79"); !slices.Equal(healthy(s), []bool{true, false, true}) || s.Devices[1].Fault.XID != 79 || !s.Devices[1].Fault.Lost {
		t.Errorf("XID 79: %+v", s.Devices[1].Fault)
	}
	if s := do("fail --gpu 2 --xid 31"); !slices.Equal(healthy(s), []bool{true, false, true}) || s.Devices[2].Fault.XID != 31 {
		t.Errorf("XID 31: %+v", s.Devices[2].Fault)
	}
	if s := do("set --gpu 0 --utilization 100 --power 500"); s.Devices[0].Utilization != 100 || s.Devices[0].PowerMilliwatts != 500_000 || s.Devices[0].Temperature <= 41 {
		t.Errorf("set: %+v", s.Devices[0])
	}
	refused("fail --gpu 3 --lost", "there are 0 to 2")
	refused("fail --gpu 0 --xid 1000", "1 to 999")
	refused("fail --gpu 1 --xid 31", "runs none any more")
	refused("set --gpu 0 --power 701", "0 to 700")

	// What is broken stays broken when the agent starts again.
	stop()
	stop = agentOf(t, dir)
	defer stop()
	if s := do("fail --gpu 0 --throttle"); !slices.Equal(healthy(s), []bool{true, false, true}) || !s.Devices[0].Fault.Throttle || s.Devices[0].PowerMilliwatts != 500_000 {
		t.Errorf("after a restart: %+v", s.Devices)
	}
	if s := do("heal --gpu 1"); !slices.Equal(healthy(s), []bool{true, true, true}) || s.Devices[2].Fault.XID != 31 {
		t.Errorf("one healed: %+v", s.Devices)
	}
	for _, d := range do("heal").Devices {
		if d.Fault != (model.Fault{}) || d.Utilization != 0 || d.PowerMilliwatts != 69850 {
			t.Errorf("all healed: %+v", d)
		}
	}
}

func TestState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gpu.json")
	if err := os.WriteFile(file, []byte(`{"cluster": "ai", "name": "n1", "gpus": {"profile": "l4", "count": 2}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log strings.Builder
	if exit := run(t.Context(), []string{"state", "--spec", file}, &out, &log); exit != 0 {
		t.Fatalf("exit %d:\n%s", exit, log.String())
	}
	s, err := model.Decode([]byte(out.String()))
	if err != nil || len(s.Devices) != 2 || s.Devices[0].Name != "NVIDIA L4" {
		t.Errorf("%v, %+v", err, s)
	}
}
