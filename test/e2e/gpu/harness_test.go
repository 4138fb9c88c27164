//go:build e2e

// Package gpu breaks the GPUs of a sandbox, and the programs that keep them,
// and looks at what the cluster sees of it. Times are told and not judged:
// `go test -v` prints them, KUBECTL_AI_SOAK=1 takes 20 rounds in place of 3.
package gpu

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	image       = "python:3.11-slim"
	gpuResource = core.ResourceName("nvidia.com/gpu")
)

var (
	name   = cmp.Or(os.Getenv("KUBECTL_AI_E2E_NAME"), "kai-e2e") + "-gpu"
	node   = name + "-control-plane"
	plugin string // bin/kubectl-ai
	client *kubernetes.Clientset
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kubectl-ai-e2e")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if plugin, err = filepath.Abs("../../../bin/kubectl-ai"); err != nil {
		panic(err)
	}
	config := filepath.Join(dir, "kubeconfig")
	if err := os.Setenv("KUBECONFIG", config); err != nil {
		panic(err)
	}
	remove := func() { _ = exec.Command(plugin, "sandbox", "delete", "--name", name, "--yes").Run() }
	remove() // of a run that was killed
	defer remove()
	for _, args := range [][]string{{"create", "--name", name, "--gpus", "fake"}, {"load", image, "--name", name}} {
		cmd := exec.Command(plugin, append([]string{"sandbox"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "sandbox %v: %v\n", args, err)
			return 1
		}
	}
	rest, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: config}, &clientcmd.ConfigOverrides{CurrentContext: "kind-" + name}).ClientConfig()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	rest.QPS = -1
	client = kubernetes.NewForConfigOrDie(rest)
	return m.Run()
}

// rounds is how often something is done.
func rounds() int {
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		return 20
	}
	return 3
}

// ai runs kubectl-ai sandbox gpu on the test's sandbox.
func ai(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(plugin, append([]string{"sandbox", "gpu"}, append(args, "--name", name)...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("sandbox gpu %v: %v\n%s", args, err, stderr.String())
	}
	return stdout.String()
}

// inNode runs a command in the node.
func inNode(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command("docker", append([]string{"exec", node}, command...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v in the node: %v\n%s", command, err, out)
	}
	return string(out)
}

// eventually waits until check returns nil, else fails with its last error.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// pod starts a pod with GPUs and waits until it is ready.
func pod(t *testing.T, name string, gpus string, command ...string) *core.Pod {
	t.Helper()
	none := int64(0)
	_, err := client.CoreV1().Pods("default").Create(t.Context(), &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: name},
		Spec: core.PodSpec{
			TerminationGracePeriodSeconds: &none,
			Containers: []core.Container{{
				Name: "main", Image: image, ImagePullPolicy: core.PullIfNotPresent, Command: command,
				Resources: core.ResourceRequirements{Limits: core.ResourceList{gpuResource: quantity(gpus)}},
			}},
		},
	}, meta.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removePod(t, name) })
	var p *core.Pod
	eventually(t, func() error {
		if p, err = client.CoreV1().Pods("default").Get(t.Context(), name, meta.GetOptions{}); err != nil {
			return err
		}
		if len(p.Status.ContainerStatuses) == 0 || !p.Status.ContainerStatuses[0].Ready {
			return fmt.Errorf("pod %s: %s %s %s", name, p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		return nil
	})
	return p
}

func removePod(t *testing.T, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	none := int64(0)
	_ = client.CoreV1().Pods("default").Delete(ctx, name, meta.DeleteOptions{GracePeriodSeconds: &none})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := client.CoreV1().Pods("default").Get(ctx, name, meta.GetOptions{}); err != nil {
			return
		}
	}
	t.Errorf("pod %s is still there", name)
}

// offer is what the Node object says of its GPUs.
type offer struct{ capacity, allocatable int64 }

// history is every offer of the Node object, as a watch tells them.
type history struct {
	mu     sync.Mutex
	offers []offer
	at     []time.Time
}

// follow records until the test ends.
func follow(t *testing.T) *history {
	t.Helper()
	h := &history{}
	list, err := client.CoreV1().Nodes().Watch(t.Context(), meta.ListOptions{FieldSelector: "metadata.name=" + node})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range list.ResultChan() {
			if n, ok := e.Object.(*core.Node); ok {
				h.add(offer{n.Status.Capacity.Name(gpuResource, "").Value(), n.Status.Allocatable.Name(gpuResource, "").Value()})
			}
		}
	}()
	t.Cleanup(func() {
		list.Stop()
		<-done
	})
	eventually(t, func() error {
		if h.last() != (offer{8, 8}) {
			return fmt.Errorf("the node offers %+v", h.last())
		}
		return nil
	})
	return h
}

func (h *history) add(o offer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.offers) == 0 || h.offers[len(h.offers)-1] != o {
		h.offers, h.at = append(h.offers, o), append(h.at, time.Now())
	}
}

func (h *history) last() offer {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.offers) == 0 {
		return offer{}
	}
	return h.offers[len(h.offers)-1]
}

// all returns the offers, and since when the last one holds.
func (h *history) all() ([]offer, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.offers), h.at[len(h.at)-1]
}

// await waits until the Node object makes an offer, and returns how long that
// took from begin.
func (h *history) await(t *testing.T, want offer, begin time.Time) time.Duration {
	t.Helper()
	eventually(t, func() error {
		if got := h.last(); got != want {
			return fmt.Errorf("the node offers %+v, want %+v", got, want)
		}
		return nil
	})
	_, at := h.all()
	return at.Sub(begin)
}

// tell logs the middle and the end of what was measured.
func tell(t *testing.T, what string, times []time.Duration) {
	t.Helper()
	if len(times) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(times))
	at := func(part int) time.Duration {
		return sorted[(len(sorted)*part+99)/100-1].Round(time.Millisecond) // nearest rank
	}
	t.Logf("%s: p50 %v, p95 %v, most %v, of %d", what, at(50), at(95), sorted[len(sorted)-1].Round(time.Millisecond), len(sorted))
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }
