package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

func TestServe(t *testing.T) {
	dir := t.TempDir()
	state, plugins := filepath.Join(dir, "state"), filepath.Join(dir, "plugins")
	ctx, cancel := context.WithCancel(t.Context())
	var log strings.Builder
	exit := make(chan int, 1)
	file := filepath.Join(dir, "gpu.json")
	if err := os.WriteFile(file, []byte(`{"cluster": "ai", "name": "n1", "gpus": {"profile": "b200", "count": 3}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		exit <- run(ctx, []string{"serve", "--spec", file, "--state", state, "--plugin-dir", plugins}, &log)
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
		{"frobnicate", "ai-gpu serve", 2},
		{"serve more", "ai-gpu serve", 2},
		{"serve --frobnicate", "frobnicate", 2},
		{"serve --help", "-plugin-dir", 0},
		{"serve --spec " + filepath.Join(dir, "missing"), "no such file", 1},
		{"serve --spec " + file("broken", "{"), "decode the GPUs", 1},
		{"serve --spec " + file("nameless", "{}"), "no cluster", 1},
		{"serve --spec " + file("unknown", `{"cluster": "c", "name": "n", "gpus": {"profile": "voodoo", "count": 1}}`), "voodoo", 1},
		{"serve --spec " + file("none", `{"cluster": "c", "name": "n", "gpus": {"profile": "h100"}}`), "0 GPUs", 1},
	}
	for _, c := range cases {
		t.Run(c.says, func(t *testing.T) {
			var out strings.Builder
			if exit := run(t.Context(), strings.Fields(c.args), &out); exit != c.exit || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit %d, want %d with %q:\n%s", exit, c.exit, c.says, out.String())
			}
		})
	}
}
