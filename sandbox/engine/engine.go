// Package engine speaks to the container engine of this machine through its
// command line, as kind does: docker, podman or nerdctl, whichever answers.
// It knows containers and images, nothing of Kubernetes.
package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// ErrNoEngine says that no container engine answers. The error in the chain
// is a *NoEngineError that tells what was tried.
var ErrNoEngine = errors.New("no container engine answers")

// NoEngineError lists the engines that were tried and why each did not do.
type NoEngineError struct{ Tried []Attempt }

// Attempt is one engine that does not answer.
type Attempt struct{ Name, Reason string }

func (e *NoEngineError) Error() string {
	parts := make([]string, len(e.Tried))
	for i, a := range e.Tried {
		parts[i] = a.Name + ": " + a.Reason
	}
	return fmt.Sprintf("%v (%s)", ErrNoEngine, strings.Join(parts, "; "))
}

// Is makes errors.Is(err, ErrNoEngine) true.
func (e *NoEngineError) Is(target error) bool { return target == ErrNoEngine }

// CommandError is an engine command that ended with an error.
type CommandError struct {
	Command string // for example "docker exec ai-control-plane …"
	Stderr  string // what it said, trimmed
	Err     error
}

func (e *CommandError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Command, e.Stderr)
}

func (e *CommandError) Unwrap() error { return e.Err }

// Engine is a container engine that answered.
type Engine struct {
	Name          string // docker, podman or nerdctl: the kind provider to use
	Bin           string // its command
	Arch          string // of containers: amd64, arm64
	APIVersion    string // docker's, "" elsewhere
	CgroupVersion int    // 1 or 2
	Rootless      bool
	Version       string
	CPUs          int    // that containers have; 0: not told
	MemoryBytes   uint64 // the same
	Root          string // where it keeps images and containers
}

// candidates are asked in kind's own order. finch is nerdctl under a name of
// its own.
var candidates = []struct{ name, bin string }{
	{"docker", "docker"}, {"nerdctl", "nerdctl"}, {"nerdctl", "finch"}, {"podman", "podman"},
}

// Detect returns the first engine that answers. KIND_EXPERIMENTAL_PROVIDER
// names one, as it does for kind's own command line.
func Detect(ctx context.Context) (*Engine, error) {
	wanted := os.Getenv("KIND_EXPERIMENTAL_PROVIDER")
	none := &NoEngineError{}
	for _, c := range candidates {
		if wanted != "" && wanted != c.name && wanted != c.bin {
			continue
		}
		e, err := probe(ctx, c.name, c.bin)
		if err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		none.Tried = append(none.Tried, Attempt{c.bin, reason(err)})
	}
	if len(none.Tried) == 0 {
		none.Tried = []Attempt{{wanted, "KIND_EXPERIMENTAL_PROVIDER names no engine that kind knows"}}
	}
	return nil, none
}

// reason is the one line of an error that a person wants.
func reason(err error) string {
	if errors.Is(err, exec.ErrNotFound) {
		return "not installed"
	}
	text := err.Error()
	var failed *CommandError
	if errors.As(err, &failed) && failed.Stderr != "" {
		text = failed.Stderr
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

func probe(ctx context.Context, name, bin string) (*Engine, error) {
	path, err := exec.LookPath(bin)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", bin, exec.ErrNotFound)
	}
	e := &Engine{Name: name, Bin: path}
	version, err := e.Run(ctx, nil, "-v")
	if err != nil {
		return nil, err
	}
	// podman installs a `docker` of its own; kind must drive it as podman.
	if name == "docker" && !strings.HasPrefix(string(version), "Docker version") {
		return nil, fmt.Errorf("%s is no Docker: %s", bin, bytes.TrimSpace(version))
	}
	out, err := e.Run(ctx, nil, "info", "--format", infoFormat(name))
	if err != nil {
		return nil, err
	}
	if err := e.parseInfo(out); err != nil {
		return nil, fmt.Errorf("read %s info: %w", bin, err)
	}
	if name == "docker" {
		if out, err := e.Run(ctx, nil, "version", "--format", "{{.Server.APIVersion}}"); err == nil {
			e.APIVersion = strings.TrimSpace(string(out))
		}
	}
	return e, nil
}

func infoFormat(name string) string {
	if name == "podman" {
		return "json"
	}
	return "{{json .}}"
}

// parseInfo reads what `info` prints: docker's shape, which nerdctl shares, or
// podman's.
func (e *Engine) parseInfo(out []byte) error {
	var info struct {
		CgroupVersion   string
		Architecture    string
		SecurityOptions []string
		ServerErrors    []string
		ServerVersion   string
		NCPU            int
		MemTotal        uint64
		DockerRootDir   string
		Version         struct{ Version string } `json:"version"`
		Store           struct {
			GraphRoot string `json:"graphRoot"`
		} `json:"store"`
		Host struct {
			CgroupVersion string `json:"cgroupVersion"`
			Arch          string `json:"arch"`
			CPUs          int    `json:"cpus"`
			MemTotal      uint64 `json:"memTotal"`
			Security      struct {
				Rootless bool `json:"rootless"`
			} `json:"security"`
		} `json:"host"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return err
	}
	if len(info.ServerErrors) > 0 { // docker info exits 0 without a daemon
		return errors.New(info.ServerErrors[0])
	}
	cgroup, arch := info.CgroupVersion, info.Architecture
	e.Version, e.CPUs, e.MemoryBytes, e.Root = info.ServerVersion, info.NCPU, info.MemTotal, info.DockerRootDir
	e.Rootless = info.Host.Security.Rootless
	if e.Name == "podman" {
		cgroup, arch = strings.TrimPrefix(info.Host.CgroupVersion, "v"), info.Host.Arch
		e.Version, e.CPUs, e.MemoryBytes, e.Root = info.Version.Version, info.Host.CPUs, info.Host.MemTotal, info.Store.GraphRoot
	}
	for _, option := range info.SecurityOptions {
		e.Rootless = e.Rootless || strings.Contains(option, "rootless")
	}
	e.CgroupVersion = 2
	if cgroup == "1" {
		e.CgroupVersion = 1
	}
	switch arch {
	case "x86_64", "amd64":
		e.Arch = "amd64"
	case "aarch64", "arm64":
		e.Arch = "arm64"
	default:
		return fmt.Errorf("the engine runs on %q; node images exist for amd64 and arm64", arch)
	}
	return nil
}

// Run runs an engine command and returns its stdout. A failure is a
// *CommandError, or the cause of ctx when that ended it.
func (e *Engine) Run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := e.Stream(ctx, stdin, &out, args...)
	return out.Bytes(), err
}

// finishTimeout bounds a command that is not to be cut short.
const finishTimeout = time.Minute

// Finish is Run for a command that makes something: an engine goes on with a
// request whose client is gone, and what it then makes nobody would know of.
// So the command ends even when ctx does, whose cause is returned then.
func (e *Engine) Finish(ctx context.Context, args ...string) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	out, err := e.Run(whole, nil, args...)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, err
}

// Stream is Run with stdout written to a writer as it comes.
func (e *Engine) Stream(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, e.Bin, args...)
	ownGroup(cmd)                   // Ctrl-C on the terminal is for us to act on
	cmd.WaitDelay = 5 * time.Second // a grandchild may hold the pipes of a killed command
	// The last bytes tell why; the first fill memory.
	stderr := &tail{limit: 16 << 10}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &CommandError{Command: e.Name + " " + brief(args), Stderr: strings.TrimSpace(stderr.String()), Err: err}
}

// brief is a command line short enough for a message.
func brief(args []string) string {
	line := strings.Join(args, " ")
	line, _, _ = strings.Cut(line, "\n")
	if len(line) > 120 {
		line = line[:117] + "…"
	}
	return line
}

// tail keeps the last bytes that were written to it.
type tail struct {
	limit int
	buf   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }
