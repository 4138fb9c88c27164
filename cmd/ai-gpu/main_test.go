package main

import (
	"context"
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
	go func() {
		exit <- run(ctx, []string{"serve", "--cluster", "ai", "--node", "n1", "--profile", "b200", "--count", "3", "--state", state, "--plugin-dir", plugins}, &log)
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
	cases := []struct {
		args, says string
		exit       int
	}{
		{"", "ai-gpu serve", 2},
		{"frobnicate", "ai-gpu serve", 2},
		{"serve", "ai-gpu serve", 2},
		{"serve --cluster c --node n more", "ai-gpu serve", 2},
		{"serve --frobnicate", "frobnicate", 2},
		{"serve --help", "-plugin-dir", 0},
		{"serve --cluster c --node n --profile voodoo", "voodoo", 1},
		{"serve --cluster c --node n --count 0", "0 GPUs", 1},
	}
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) {
			var out strings.Builder
			args := strings.Fields(c.args)
			if strings.Contains(c.args, "--node") && !strings.Contains(c.args, "more") {
				args = append(args, "--state", dir, "--plugin-dir", dir)
			}
			if exit := run(t.Context(), args, &out); exit != c.exit || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit %d, want %d with %q:\n%s", exit, c.exit, c.says, out.String())
			}
		})
	}
}
