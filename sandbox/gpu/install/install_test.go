package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// fakeNode does what the scripts do that it knows, and fails the test on any
// other command.
type fakeNode struct {
	t       *testing.T
	name    string
	machine string // uname -m
	status  string // what systemctl status prints
	sees    string // what ai-gpu state prints
	blind   error  // of ai-gpu state
	lists   string // what ai-gpu ls prints
	early   error  // of ai-gpu ls, once
	refuse  error  // of systemctl restart

	mu      sync.Mutex
	files   map[string]string // path → mode and content
	started int
}

func newNode(t *testing.T, name string) *fakeNode {
	return &fakeNode{t: t, name: name, machine: "x86_64", files: map[string]string{}}
}

func (n *fakeNode) String() string { return n.name }

func (n *fakeNode) Run(_ context.Context, stdin io.Reader, cmd ...string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case cmd[0] == "uname":
		return []byte(n.machine + "\n"), nil
	case cmd[0] == "ln":
		n.files[cmd[3]] = "-> " + cmd[2]
		return nil, nil
	case cmd[0] == "/usr/local/bin/ai-gpu" && cmd[1] == "state":
		return []byte(n.sees), n.blind
	case cmd[0] == "/usr/local/bin/ai-gpu" && cmd[1] == "ls":
		err := n.early
		n.early = nil
		return []byte(n.lists), err
	case cmd[0] == "sh" && strings.Contains(cmd[2], "cat >"):
		content, err := io.ReadAll(stdin)
		n.files[cmd[4]] = cmd[5] + " " + string(content)
		return nil, err
	case cmd[0] == "sh" && strings.Contains(cmd[2], "systemctl restart"):
		n.started++
		return nil, n.refuse
	case cmd[0] == "sh" && strings.Contains(cmd[2], "systemctl status"):
		return []byte(n.status), nil
	}
	n.t.Errorf("%s: unexpected %q", n.name, cmd)
	return nil, errors.New("unexpected")
}

var payload = fstest.MapFS{
	"linux-amd64/ai-gpu":            {Data: []byte("amd64 agent")},
	"linux-amd64/nvidia-smi":        {Data: []byte("amd64 smi")},
	"linux-amd64/libnvidia-ml.so.1": {Data: []byte("amd64 nvml")},
	"linux-arm64/ai-gpu":            {Data: []byte("arm64 agent")},
	"linux-arm64/nvidia-smi":        {Data: []byte("arm64 smi")},
	"linux-arm64/libnvidia-ml.so.1": {Data: []byte("arm64 nvml")},

	"linux-amd64/ai-gpu-real": {Data: []byte("amd64 agent for real GPUs")},
}

// kubectl records calls; fail is returned by `kubectl wait`.
type kubectl struct {
	mu    sync.Mutex
	calls []string
	fail  error
}

func (k *kubectl) run(_ context.Context, _ io.Reader, args ...string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, strings.Join(args, " "))
	if args[0] == "wait" {
		return nil, k.fail
	}
	return nil, nil
}

type steps []string

func (s *steps) Start(step string)   { *s = append(*s, step) }
func (s *steps) Note(string, ...any) {}
func (s *steps) End(err error)       { *s = append(*s, fmt.Sprint(err)) }
func (k *kubectl) options() Options {
	return Options{Cluster: "ai", GPUs: slices.Repeat([]spec.GPUs{{Profile: "h100", Count: 2}}, 2), Kubectl: k.run}
}

func list(nodes ...*fakeNode) []Node {
	out := make([]Node, len(nodes))
	for i, n := range nodes {
		out[i] = n
	}
	return out
}

func TestInstall(t *testing.T) {
	control, worker := newNode(t, "ai-control-plane"), newNode(t, "ai-worker")
	worker.machine = "aarch64"
	k, r := &kubectl{}, &steps{}
	for range 2 { // installing again is installing
		if err := Install(t.Context(), list(control, worker), payload, k.options(), r); err != nil {
			t.Fatal(err)
		}
	}
	if control.started != 2 || worker.started != 2 {
		t.Errorf("started %d and %d times", control.started, worker.started)
	}
	want := map[string]string{
		"/usr/local/bin/ai-gpu":                       "755 amd64 agent",
		"/usr/bin/nvidia-smi":                         "755 amd64 smi",
		"/usr/local/lib/kubectl-ai/libnvidia-ml.so.1": "755 amd64 nvml",
		"/etc/kubectl-ai/gpu.json": `644 {
  "cluster": "ai",
  "name": "ai-control-plane",
  "gpus": {
    "profile": "h100",
    "count": 2
  }
}
`,
		"/etc/systemd/system/kubectl-ai-gpu.service": `644 [Unit]
Description=GPUs of a kubectl-ai sandbox
Before=kubelet.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/usr/local/bin/ai-gpu serve
Restart=always
RestartSec=200ms
CPUWeight=1000

[Install]
WantedBy=multi-user.target
`,
	}
	if diff := cmp.Diff(want, control.files); diff != "" {
		t.Errorf("files -want +got:\n%s", diff)
	}
	if got := worker.files["/usr/bin/nvidia-smi"]; got != "755 arm64 smi" {
		t.Errorf("the worker, another architecture, has %q", got)
	}
	if want := `wait --timeout 1m0s --for=jsonpath={.status.allocatable.nvidia\.com/gpu}=2 node/ai-control-plane node/ai-worker`; k.calls[0] != want {
		t.Errorf("kubectl %s first, want %s", k.calls[0], want)
	}
	if want := `wait --timeout 1m0s --for=jsonpath={.metadata.labels.nvidia\.com/gpu\.present}=true node/ai-control-plane node/ai-worker`; k.calls[1] != want {
		t.Errorf("kubectl %s then, want %s", k.calls[1], want)
	}
	once := []string{"Install 2 simulated NVIDIA H100 80GB HBM3 on each of 2 nodes", "<nil>", "Wait for the kubelets to offer the GPUs", "<nil>"}
	if diff := cmp.Diff(append(once, once...), []string(*r)); diff != "" {
		t.Errorf("steps -want +got:\n%s", diff)
	}
}

func TestInstallRefuses(t *testing.T) {
	cases := []struct {
		name    string
		change  func(o *Options, n *fakeNode, k *kubectl)
		payload fs.FS
		check   func(err error) bool
	}{
		{
			"a profile that is not there", func(o *Options, _ *fakeNode, _ *kubectl) { o.GPUs[0].Profile = "voodoo" }, payload,
			func(err error) bool { var e *model.UnknownProfileError; return errors.As(err, &e) },
		},
		{
			"too many GPUs", func(o *Options, _ *fakeNode, _ *kubectl) { o.GPUs[0].Count = 65 }, payload,
			func(err error) bool { var e *model.CountError; return errors.As(err, &e) },
		},
		{
			"an empty payload", func(*Options, *fakeNode, *kubectl) {},
			fstest.MapFS{},
			func(err error) bool {
				var e *NoPayloadError
				return errors.As(err, &e) && e.Program == "ai-gpu" && e.Arch == "amd64" && errors.Is(err, fs.ErrNotExist)
			},
		},
		{
			"an architecture without programs", func(_ *Options, n *fakeNode, _ *kubectl) { n.machine = "riscv64" }, payload,
			func(err error) bool { var e *NoPayloadError; return errors.As(err, &e) && e.Arch == "riscv64" },
		},
		{
			"a service that does not start", func(_ *Options, n *fakeNode, _ *kubectl) { n.refuse = io.ErrUnexpectedEOF }, payload,
			func(err error) bool {
				return errors.Is(err, io.ErrUnexpectedEOF) && strings.Contains(err.Error(), "start kubectl-ai-gpu.service on ai-worker")
			},
		},
		{
			"a kubelet that does not offer them", func(_ *Options, n *fakeNode, k *kubectl) {
				k.fail, n.status = errors.New("timed out"), "active (running)\nwaiting for the kubelet\n"
			}, payload,
			func(err error) bool {
				var e *NotOfferedError
				return errors.As(err, &e) && e.Want == 2 && e.Status["ai-worker"] == "active (running)\nwaiting for the kubelet" && errors.Is(err, e.Err)
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n, k := newNode(t, "ai-worker"), &kubectl{}
			o := k.options()
			c.change(&o, n, k)
			if err := Install(t.Context(), list(n), c.payload, o, nil); !c.check(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestInstallEndsWithItsContext(t *testing.T) {
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	k := &kubectl{}
	o := k.options()
	o.Kubectl = func(context.Context, io.Reader, ...string) ([]byte, error) {
		cancel(interrupted)
		return nil, errors.New("signal: killed")
	}
	if err := Install(ctx, list(newNode(t, "n")), payload, o, nil); !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	fake, real := spec.GPUs{Profile: "h100", Count: 8}, spec.GPUs{Devices: []string{"all"}}
	if err := Check(payload, "arm64", []spec.GPUs{fake, {}}); err != nil {
		t.Error(err)
	}
	if err := Check(fstest.MapFS{}, "arm64", []spec.GPUs{{}}); err != nil {
		t.Errorf("a node without GPUs needs no program: %v", err)
	}
	var e *NoPayloadError
	if err := Check(fstest.MapFS{"linux-amd64/ai-gpu": {}}, "amd64", []spec.GPUs{fake}); !errors.As(err, &e) || e.Program != "nvidia-smi" {
		t.Errorf("without nvidia-smi: %v", err)
	}
	if err := Check(payload, "arm64", []spec.GPUs{fake, real}); !errors.As(err, &e) || e.Program != "ai-gpu-real" {
		t.Errorf("without the build for real GPUs: %v", err)
	}
}

func TestInstallRealGPUs(t *testing.T) {
	n, k, r := newNode(t, "ai-worker"), &kubectl{}, &steps{}
	state, err := os.ReadFile("../model/testdata/h100x2.json")
	if err != nil {
		t.Fatal(err)
	}
	n.sees = string(state)
	o := k.options()
	o.GPUs = []spec.GPUs{{Devices: []string{"0000:1b:00.0", "0000:1e:00.0"}}}
	if err := Install(t.Context(), list(n), payload, o, r); err != nil {
		t.Fatal(err)
	}
	if n.files["/usr/local/bin/ai-gpu"] != "755 amd64 agent for real GPUs" || n.files["/usr/local/bin/nvidia-cdi-hook"] != "-> /usr/local/bin/ai-gpu" {
		t.Errorf("files: %v", n.files)
	}
	if _, ok := n.files["/usr/bin/nvidia-smi"]; ok {
		t.Error("real GPUs come with their driver's nvidia-smi")
	}
	if want := `wait --timeout 1m0s --for=jsonpath={.status.allocatable.nvidia\.com/gpu}=2 node/ai-worker`; k.calls[0] != want {
		t.Errorf("kubectl %s first, want %s", k.calls[0], want)
	}
	if (*r)[0] != "Install 2 of this machine's GPUs on ai-worker" {
		t.Errorf("steps: %q", *r)
	}

	n.blind = errors.New("find libnvidia-ml.so: no such file")
	var unseen *NotSeenError
	if err := Install(t.Context(), list(n), payload, o, nil); !errors.As(err, &unseen) || unseen.Node != "ai-worker" || !errors.Is(err, n.blind) {
		t.Errorf("a node without the driver's files: %v", err)
	}
}

// An API server that has just begun fails one look and answers the next.
func TestInstallLooksAgain(t *testing.T) {
	k := &kubectl{}
	o := k.options()
	failed := map[string]bool{}
	o.Kubectl = func(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
		if look := args[3]; !failed[look] {
			failed[look] = true
			return nil, &engine.CommandError{Command: "docker exec", Stderr: "net/http: TLS handshake timeout"}
		}
		return k.run(ctx, stdin, args...)
	}
	if err := Install(t.Context(), list(newNode(t, "ai-worker")), payload, o, nil); err != nil || len(failed) != 2 || len(k.calls) != 2 {
		t.Errorf("%v; kubectl %q", err, k.calls)
	}
}
