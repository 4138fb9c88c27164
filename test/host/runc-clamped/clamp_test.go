//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func number(n int) *int { return &n }

var confined = machine{
	capabilities: map[string]bool{"CAP_CHOWN": true, "CAP_KILL": true},
	limits:       map[string]uint64{"RLIMIT_NOFILE": 100},
}

func TestClamp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		on       machine
		in, want specs.Process
	}{
		{
			name: "capabilities that are not here go from every set", on: confined,
			in: specs.Process{Capabilities: &specs.LinuxCapabilities{
				Bounding: []string{"CAP_CHOWN", "CAP_SYS_RESOURCE"}, Effective: []string{"CAP_SYS_RESOURCE"}, Permitted: []string{"CAP_KILL"}, Ambient: []string{"CAP_NEW_AND_UNKNOWN"},
			}},
			want: specs.Process{Capabilities: &specs.LinuxCapabilities{
				Bounding: []string{"CAP_CHOWN"}, Effective: []string{}, Permitted: []string{"CAP_KILL"}, Ambient: []string{},
			}},
		},
		{
			name: "no process is better off than its parent when memory ends", on: confined,
			in: specs.Process{OOMScoreAdj: number(-998)}, want: specs.Process{OOMScoreAdj: number(0)},
		},
		{
			name: "being worse off is free", on: confined,
			in: specs.Process{OOMScoreAdj: number(500)}, want: specs.Process{OOMScoreAdj: number(500)},
		},
		{
			name: "limits are lowered, not dropped", on: confined,
			in:   specs.Process{Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1 << 20, Soft: 50}, {Type: "RLIMIT_CORE", Hard: 7, Soft: 7}}},
			want: specs.Process{Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 100, Soft: 50}, {Type: "RLIMIT_CORE", Hard: 7, Soft: 7}}},
		},
		{
			name: "a machine that may do everything changes nothing", on: machine{capabilities: map[string]bool{"CAP_SYS_RESOURCE": true}},
			in: specs.Process{
				OOMScoreAdj: number(-1), Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_RESOURCE"}},
				Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1 << 20, Soft: 1}},
			},
			want: specs.Process{
				OOMScoreAdj: number(-1), Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_RESOURCE"}},
				Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1 << 20, Soft: 1}},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.on.clamp(&c.in)
			if diff := cmp.Diff(c.want, c.in); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSubcommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"as containerd calls it", []string{"--root", "/run/runc", "--log", "/l", "--log-format", "json", "--systemd-cgroup", "create", "--bundle", "/b", "id"}, "create"},
		{"a folder that is called like a command", []string{"--root", "exec", "state", "id"}, "state"},
		{"a value after an equals sign", []string{"--root=/r", "exec"}, "exec"},
		{"none", []string{"--version"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := subcommand(c.args); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestFlagValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"long", []string{"--pid-file", "x", "--bundle", "/b", "id"}, "/b"},
		{"long with an equals sign", []string{"--bundle=/b", "id"}, "/b"},
		{"short", []string{"-b", "/b", "id"}, "/b"},
		{"what the container runs does not count", []string{"id", "--", "--bundle", "/b"}, ""},
		{"none", []string{"id"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := flagValue(c.args, "bundle", "b"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPrepareChangesTheProcessAlone(t *testing.T) {
	t.Parallel()
	const process = `{"cwd":"/","user":{"uid":0,"gid":0},"oomScoreAdj":-5}`
	for _, c := range []struct{ name, file, content, want string }{
		{"create", "config.json", `{"process":` + process + `,"tomorrow":{"b":[1.50]}}`, `{"process":{"user":{"uid":0,"gid":0},"cwd":"/","oomScoreAdj":0},"tomorrow":{"b":[1.50]}}`},
		{"exec", "p.json", process, `{"user":{"uid":0,"gid":0},"cwd":"/","oomScoreAdj":0}`},
		{"state", "config.json", `{"process":` + process + `}`, `{"process":` + process + `}`},
		{"create", "config.json", `{"linux":{}}`, `{"linux":{}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, c.file)
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"--root", "/r", c.name, "--bundle", dir, "id"}
			if c.name == "exec" {
				args = []string{"exec", "--process", file, "id"}
			}
			if err := prepare(args, confined); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			if err := json.Unmarshal(got, &a); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.want), &b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b, a); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamesAreThoseOfTheKernel(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "CAP_SYSLOG": unix.CAP_SYSLOG, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE} {
		if capabilityNames[want] != name {
			t.Errorf("number %d is %s, want %s", want, capabilityNames[want], name)
		}
	}
	if len(here().capabilities) != len(capabilityNames) {
		t.Error("a name is there twice")
	}
}
