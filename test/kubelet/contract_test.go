package kubelet

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/deviceplugin"
)

// patience is how long a test waits for what comes in milliseconds where the
// machine has nothing else to do.
const patience = time.Minute

// event is what a kubelet prints.
type event struct {
	Event    string            `json:"event"`
	Resource string            `json:"resource"`
	Devices  map[string]string `json:"devices"`
}

// kubelet is a running registration server.
type kubelet struct {
	t      *testing.T
	cmd    *exec.Cmd
	events chan event
}

// build returns a program of a module below this folder.
func build(t *testing.T, module string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "kubelet")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", module, err, out)
	}
	return program
}

func start(t *testing.T, program, dir string) *kubelet {
	t.Helper()
	k := &kubelet{t: t, cmd: exec.Command(program, dir), events: make(chan event, 100)}
	k.cmd.Stderr = os.Stderr
	out, err := k.cmd.StdoutPipe()
	if err == nil {
		err = k.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.kill)
	go func() {
		defer close(k.events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				k.events <- e
			}
		}
	}()
	// It is not waited for: a plugin may have registered before the process
	// could say that it serves, and what it says then counts.
	return k
}

func (k *kubelet) kill() { _ = k.cmd.Process.Kill(); _ = k.cmd.Wait() }

// await returns the next event of a kind, of one resource.
func (k *kubelet) await(kind, resource string) event {
	k.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e, ok := <-k.events:
			if !ok {
				k.t.Fatalf("the kubelet ended before %s %s", kind, resource)
			}
			if e.Event == kind && e.Resource == resource {
				return e
			}
		case <-deadline:
			k.t.Fatalf("no %s %s within %v", kind, resource, patience)
		}
	}
}

// registered waits until a resource was registered with these devices.
func (k *kubelet) registered(resource string, want map[string]string) {
	k.t.Helper()
	k.await("connected", resource)
	k.lists(resource, want)
}

func (k *kubelet) lists(resource string, want map[string]string) {
	k.t.Helper()
	var got map[string]string
	for range 10 { // an older list may be on its way
		if got = k.await("devices", resource).Devices; maps.Equal(got, want) {
			return
		}
	}
	k.t.Errorf("%s: the kubelet hears %v, want %v", resource, got, want)
}

// plugin offers devices until the test ends or stop is called.
func plugin(t *testing.T, dir, resource string, inventory *deviceplugin.Inventory) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- deviceplugin.New(inventory, deviceplugin.Options{Resource: resource, Dir: dir}).Run(ctx)
	}()
	stop = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", resource, err)
			}
			done <- nil
		case <-time.After(patience):
			t.Errorf("%s: the plugin did not end", resource)
		}
	}
	t.Cleanup(stop)
	return stop
}

const (
	gpu = "nvidia.com/gpu"
	mig = "nvidia.com/mig-1g.10gb"
)

func TestThePluginServesRealKubelets(t *testing.T) {
	for _, version := range []string{"v1.34", "v1.37"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			program := build(t, version)
			dir, err := os.MkdirTemp("", "dp") //nolint:usetesting // t.TempDir() is too long for a socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			healthy := map[string]string{"GPU-a": "Healthy", "GPU-b": "Healthy"}
			instances := map[string]string{"MIG-a": "Healthy"}

			gpus := deviceplugin.NewInventory(deviceplugin.Device{ID: "GPU-a", Healthy: true}, deviceplugin.Device{ID: "GPU-b", Healthy: true})
			k := start(t, program, dir)
			stop := plugin(t, dir, gpu, gpus)
			k.registered(gpu, healthy)

			// A second resource, of a plugin of its own in the same folder.
			plugin(t, dir, mig, deviceplugin.NewInventory(deviceplugin.Device{ID: "MIG-a", Healthy: true}))
			k.registered(mig, instances)

			gpus.Set(deviceplugin.Device{ID: "GPU-a", Healthy: true}, deviceplugin.Device{ID: "GPU-b"})
			k.lists(gpu, map[string]string{"GPU-a": "Healthy", "GPU-b": "Unhealthy"})
			gpus.Set(deviceplugin.Device{ID: "GPU-a", Healthy: true}, deviceplugin.Device{ID: "GPU-b", Healthy: true})
			k.lists(gpu, healthy)

			// The kubelet is killed, and starts again, several times over.
			for range 5 {
				k.kill()
				k = start(t, program, dir)
				registered(t, k, map[string]map[string]string{gpu: healthy, mig: instances})
			}

			// The plugin's socket is deleted by hand.
			sockets, err := filepath.Glob(filepath.Join(dir, "kubectl-ai-gpu-*.sock"))
			if err != nil || len(sockets) != 1 {
				t.Fatalf("sockets of %s: %v, %v", gpu, sockets, err)
			}
			if err := os.Remove(sockets[0]); err != nil {
				t.Fatal(err)
			}
			k.registered(gpu, healthy)

			// The plugin ends, and another takes its place at once.
			stop()
			k.await("disconnected", gpu)
			plugin(t, dir, gpu, gpus)
			k.registered(gpu, healthy)
		})
	}
}

// registered waits until all resources were registered, in whichever order.
func registered(t *testing.T, k *kubelet, want map[string]map[string]string) {
	t.Helper()
	missing := maps.Clone(want)
	deadline := time.After(patience)
	for len(missing) > 0 {
		select {
		case e, ok := <-k.events:
			if !ok {
				t.Fatal("the kubelet ended")
			}
			if e.Event == "devices" && maps.Equal(e.Devices, missing[e.Resource]) {
				delete(missing, e.Resource)
			}
		case <-deadline:
			t.Fatal(fmt.Sprint("not registered again: ", missing))
		}
	}
}
