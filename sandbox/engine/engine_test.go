package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseInfo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, engine, info string
		want               Engine
		fails              string
	}{
		{
			name: "docker on cgroup v1", engine: "docker",
			info: `{"CgroupVersion":"1","Architecture":"x86_64","SecurityOptions":["name=seccomp,profile=default"],"ServerVersion":"20.10.24","NCPU":2,"MemTotal":4096,"DockerRootDir":"/var/lib/docker"}`,
			want: Engine{Name: "docker", Arch: "amd64", CgroupVersion: 1, Version: "20.10.24", CPUs: 2, MemoryBytes: 4096, Root: "/var/lib/docker"},
		},
		{
			name: "rootless docker on arm", engine: "docker",
			info: `{"CgroupVersion":"2","Architecture":"aarch64","SecurityOptions":["name=rootless"]}`,
			want: Engine{Name: "docker", Arch: "arm64", CgroupVersion: 2, Rootless: true},
		},
		{
			name: "podman has a shape of its own", engine: "podman",
			info: `{"host":{"cgroupVersion":"v2","arch":"amd64","cpus":4,"memTotal":8192,"security":{"rootless":true}},"store":{"graphRoot":"/g"},"version":{"Version":"5.4.1"}}`,
			want: Engine{Name: "podman", Arch: "amd64", CgroupVersion: 2, Rootless: true, Version: "5.4.1", CPUs: 4, MemoryBytes: 8192, Root: "/g"},
		},
		{
			name: "a client without its daemon is no engine", engine: "docker",
			info: `{"ServerErrors":["Cannot connect to the Docker daemon"]}`, fails: "Cannot connect",
		},
		{
			name: "an architecture without node images", engine: "docker",
			info: `{"CgroupVersion":"2","Architecture":"riscv64"}`, fails: "riscv64",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := Engine{Name: c.engine}
			err := e.parseInfo([]byte(c.info))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want one with %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, e); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// fake puts an engine that is a shell script first and alone on the PATH.
func fake(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "")
}

func TestDetectSaysWhatEachEngineSaid(t *testing.T) {
	fake(t, "docker", `[ "$1" = -v ] && { echo Docker version 1; exit 0; }; echo first >&2; echo daemon is down >&2; exit 1`)
	_, err := Detect(t.Context())
	var none *NoEngineError
	if !errors.Is(err, ErrNoEngine) || !errors.As(err, &none) {
		t.Fatalf("got %v, want ErrNoEngine", err)
	}
	want := []Attempt{{"docker", "daemon is down"}, {"nerdctl", "not installed"}, {"finch", "not installed"}, {"podman", "not installed"}}
	if diff := cmp.Diff(want, none.Tried); diff != "" {
		t.Error(diff)
	}
}

func TestDetectPassesOverADockerThatIsPodman(t *testing.T) {
	fake(t, "docker", `echo podman version 5`)
	_, err := Detect(t.Context())
	if !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), "no Docker") {
		t.Fatalf("got %v", err)
	}
}

func TestRunReturnsTheCauseOfACancelledContext(t *testing.T) {
	fake(t, "docker", `exec /bin/sleep 60`)
	path, err := filepath.Abs(filepath.Join(os.Getenv("PATH"), "docker"))
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Name: "docker", Bin: path}
	cause := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := e.Run(ctx, nil, "exec"); !errors.Is(err, cause) {
		t.Fatalf("got %v, want the cause", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	buf := &tail{limit: 4}
	for _, s := range []string{"abc", "defg", "h"} {
		if _, err := buf.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := buf.String(); got != "efgh" {
		t.Errorf("got %q", got)
	}
}

func TestParseContainers(t *testing.T) {
	t.Parallel()
	got, err := parseContainers([]byte(`[
		{"Name":"/ai-control-plane","State":{"Running":true},"Config":{"Image":"n:1","Labels":{"a":"b"}},"NetworkSettings":{"Networks":{"kind":{"IPAddress":"172.18.0.2"}}}},
		{"Name":"ai-worker","State":{},"Config":{},"NetworkSettings":{}}]`), "kind")
	if err != nil {
		t.Fatal(err)
	}
	want := []Container{
		{Name: "ai-control-plane", Running: true, Image: "n:1", Labels: map[string]string{"a": "b"}, Address: "172.18.0.2"},
		{Name: "ai-worker"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
