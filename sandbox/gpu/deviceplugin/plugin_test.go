package deviceplugin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// folderFor returns an empty folder whose path fits into a socket address.
func folderFor(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dp") //nolint:usetesting // t.TempDir() holds the test's name, too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startPlugin runs a plugin with three devices and returns what stops it.
func startPlugin(t *testing.T, o Options) (inventory *Inventory, stop func()) {
	t.Helper()
	o.Resource = "nvidia.com/gpu"
	o.Variable = "NVIDIA_VISIBLE_DEVICES"
	o.Mounts = []Mount{{"/usr/bin/nvidia-smi", "/usr/bin/nvidia-smi"}, {"/var/lib/state", "/run/state"}}
	inventory = NewInventory(Device{ID: "GPU-b", Healthy: true}, Device{ID: "GPU-a", Healthy: true}, Device{ID: "GPU-c", Healthy: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(inventory, o).Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the plugin did not end")
		}
	}
	t.Cleanup(stop)
	return inventory, stop
}

func health(devices []*api.Device) map[string]string {
	m := map[string]string{}
	for _, d := range devices {
		m[d.ID] = d.Health
	}
	return m
}

var allHealthy = map[string]string{"GPU-a": "Healthy", "GPU-b": "Healthy", "GPU-c": "Healthy"}

func TestRegister(t *testing.T) {
	t.Run("a kubelet gets all devices", func(t *testing.T) {
		t.Parallel()
		dir := folderFor(t)
		k := startKubelet(t, dir)
		startPlugin(t, Options{Dir: dir})
		socket, devices := k.registered()
		if diff := cmp.Diff(allHealthy, health(devices)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if diff := cmp.Diff([]string{socket}, sockets(t, dir, "kubectl-ai-gpu-*")); diff != "" {
			t.Errorf("sockets -want +got:\n%s", diff)
		}
	})
	t.Run("a plugin may be there first, folder or not", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(folderFor(t), "later")
		startPlugin(t, Options{Dir: dir})
		waitFor(t, func() bool { return len(sockets(t, dir, "*")) == 1 })
		k := startKubelet(t, dir)
		k.registered()
	})
	t.Run("a kubelet that refuses is asked again", func(t *testing.T) {
		t.Parallel()
		dir := folderFor(t)
		k := startKubelet(t, dir)
		k.mu.Lock()
		k.refuse = 3
		k.mu.Unlock()
		startPlugin(t, Options{Dir: dir})
		k.registered()
	})
	t.Run("the end leaves no socket", func(t *testing.T) {
		t.Parallel()
		dir := folderFor(t)
		k := startKubelet(t, dir)
		_, stop := startPlugin(t, Options{Dir: dir})
		k.registered()
		stop()
		if left := sockets(t, dir, "kubectl-ai-gpu-*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestRegisterAgain(t *testing.T) {
	events := []struct {
		name string
		o    Options
	}{
		{"by events alone", Options{Poll: time.Hour}},
		{"by polling alone", Options{Poll: 50 * time.Millisecond, noEvents: true}},
	}
	for _, e := range events {
		t.Run(e.name, func(t *testing.T) {
			t.Run("after a restart of the kubelet", func(t *testing.T) {
				t.Parallel()
				o := e.o
				o.Dir = folderFor(t)
				k := startKubelet(t, o.Dir)
				startPlugin(t, o)
				seen := map[string]bool{}
				for range 10 {
					socket, devices := k.registered()
					if seen[socket] {
						t.Errorf("socket name %s is used again: 1.37 refuses it", socket)
					}
					seen[socket] = true
					if diff := cmp.Diff(allHealthy, health(devices)); diff != "" {
						t.Errorf("-want +got:\n%s", diff)
					}
					k.stop()
					k = startKubelet(t, o.Dir)
				}
				k.registered()
			})
			t.Run("after a restart of the kubelet that kept the connection", func(t *testing.T) {
				t.Parallel()
				o := e.o
				o.Dir = folderFor(t)
				old := startKubelet(t, o.Dir)
				startPlugin(t, o)
				old.registered()
				startKubelet(t, o.Dir).registered()
			})
			t.Run("after its socket was deleted", func(t *testing.T) {
				t.Parallel()
				o := e.o
				o.Dir = folderFor(t)
				k := startKubelet(t, o.Dir)
				startPlugin(t, o)
				socket, _ := k.registered()
				if err := os.Remove(filepath.Join(o.Dir, socket)); err != nil {
					t.Fatal(err)
				}
				if again, _ := k.registered(); again == socket {
					t.Errorf("socket name %s is used again", again)
				}
			})
		})
	}
	t.Run("after the kubelet hung up", func(t *testing.T) {
		t.Parallel()
		dir := folderFor(t)
		k := startKubelet(t, dir)
		startPlugin(t, Options{Dir: dir, Poll: time.Hour})
		first, _ := k.registered()
		for range 5 {
			k.hangUp()
			again, devices := k.registered()
			if again == first {
				t.Errorf("socket name %s is used again", again)
			}
			first = again
			if diff := cmp.Diff(allHealthy, health(devices)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
	})
	t.Run("after it was restarted itself", func(t *testing.T) {
		t.Parallel()
		dir := folderFor(t)
		k := startKubelet(t, dir)
		for range 5 {
			_, stop := startPlugin(t, Options{Dir: dir})
			k.registered()
			stop()
		}
	})
	t.Run("after it was killed", func(t *testing.T) {
		t.Parallel()
		dir := folderFor(t)
		k := startKubelet(t, dir)
		_, stop := startPlugin(t, Options{Dir: dir})
		first, _ := k.registered()
		stop()
		// What kill -9 leaves.
		if err := os.WriteFile(filepath.Join(dir, first), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		startPlugin(t, Options{Dir: dir})
		again, _ := k.registered()
		if diff := cmp.Diff([]string{again}, sockets(t, dir, "kubectl-ai-gpu-*")); again == first || diff != "" {
			t.Errorf("first %s, sockets -want +got:\n%s", first, diff)
		}
	})
	t.Run("after the folder was replaced", func(t *testing.T) {
		t.Parallel()
		dir := folderFor(t)
		k := startKubelet(t, dir)
		startPlugin(t, Options{Dir: dir, Poll: 50 * time.Millisecond})
		k.registered()
		if err := os.Rename(dir, dir+".old"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir + ".old") })
		waitFor(t, func() bool { return len(sockets(t, dir, "*")) == 1 })
		startKubelet(t, dir).registered()
	})
}

func TestListFollowsHealth(t *testing.T) {
	dir := folderFor(t)
	k := startKubelet(t, dir)
	inventory, _ := startPlugin(t, Options{Dir: dir})
	k.registered()
	inventory.Set(Device{ID: "GPU-a", Healthy: true}, Device{ID: "GPU-b", Healthy: false})
	want := map[string]string{"GPU-a": "Healthy", "GPU-b": "Unhealthy"}
	if diff := cmp.Diff(want, health(k.next().devices)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAllocate(t *testing.T) {
	dir := folderFor(t)
	k := startKubelet(t, dir)
	startPlugin(t, Options{Dir: dir})
	k.registered()
	plugin := k.plugin()
	allocate := func(ids ...string) (*api.AllocateResponse, error) {
		return plugin.Allocate(t.Context(), &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: ids}}})
	}
	t.Run("devices in the node's order, mounts read-only, nothing else", func(t *testing.T) {
		r, err := allocate("GPU-a", "GPU-b")
		if err != nil {
			t.Fatal(err)
		}
		type mount struct {
			Host, Container string
			ReadOnly        bool
		}
		c := r.ContainerResponses[0]
		var mounts []mount
		for _, m := range c.Mounts {
			mounts = append(mounts, mount{m.HostPath, m.ContainerPath, m.ReadOnly})
		}
		want := []mount{{"/usr/bin/nvidia-smi", "/usr/bin/nvidia-smi", true}, {"/var/lib/state", "/run/state", true}}
		if diff := cmp.Diff(want, mounts); diff != "" {
			t.Errorf("mounts -want +got:\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{"NVIDIA_VISIBLE_DEVICES": "GPU-b,GPU-a"}, c.Envs); diff != "" {
			t.Errorf("environment -want +got:\n%s", diff)
		}
		if len(c.Devices)+len(c.Annotations)+len(c.CdiDevices) > 0 {
			t.Errorf("more than was asked for: %v", c)
		}
	})
	t.Run("the same again is the same", func(t *testing.T) {
		first, err := allocate("GPU-c")
		if err != nil {
			t.Fatal(err)
		}
		again, err := allocate("GPU-c")
		if err != nil || first.String() != again.String() {
			t.Errorf("first %v, again %v, %v", first, again, err)
		}
	})
	t.Run("an unknown device is refused", func(t *testing.T) {
		if _, err := allocate("GPU-a", "GPU-x"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
	})
}

func TestPreferredAllocation(t *testing.T) {
	inventory := NewInventory(Device{ID: "0", Healthy: true}, Device{ID: "1", Healthy: true}, Device{ID: "2", Healthy: true}, Device{ID: "3", Healthy: true})
	cases := []struct {
		name            string
		available, must []string
		size            int
		want            []string
	}{
		{"the first in the node's order", []string{"3", "2", "1", "0"}, nil, 2, []string{"0", "1"}},
		{"around what others hold", []string{"3", "1"}, nil, 2, []string{"1", "3"}},
		{"with what must be there", []string{"0", "1", "2", "3"}, []string{"3"}, 2, []string{"3", "0"}},
		{"never more than there is", []string{"2"}, nil, 3, []string{"2"}},
		{"never what is not here", []string{"9"}, nil, 1, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, inventory.prefer(c.available, c.must, c.size, false)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPreferLooksAtWhatLiesTogether(t *testing.T) {
	// Three GPUs, each offered three times, or three groups of joined GPUs.
	var devices []Device
	for _, group := range []string{"a", "b", "c"} {
		for i := range 3 {
			devices = append(devices, Device{ID: fmt.Sprintf("%s%d", group, i), Healthy: true, Shows: group, Group: group})
		}
	}
	inventory := NewInventory(devices...)
	cases := []struct {
		name            string
		available, must []string
		size            int
		packed, spread  []string
	}{
		{"everything is free", []string{"a0", "a1", "a2", "b0", "b1", "b2"}, nil, 2, []string{"a0", "a1"}, []string{"a0", "b0"}},
		{"the tightest that fits", []string{"a0", "b0", "b1", "c0", "c1", "c2"}, nil, 2, []string{"b0", "b1"}, []string{"c0", "b0"}},
		{"none fits", []string{"a0", "b0", "b1"}, nil, 3, []string{"b0", "b1", "a0"}, []string{"b0", "a0", "b1"}},
		{"what must be there is begun", []string{"a0", "a1", "c0", "c1"}, []string{"c1"}, 2, []string{"c1", "c0"}, []string{"c1", "a0"}},
		{"more than there is", []string{"a0"}, nil, 2, []string{"a0"}, []string{"a0"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.packed, inventory.prefer(c.available, c.must, c.size, false)); diff != "" {
				t.Errorf("packed -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(c.spread, inventory.prefer(c.available, c.must, c.size, true)); diff != "" {
				t.Errorf("distributed -want +got:\n%s", diff)
			}
		})
	}
	if shown, unknown := inventory.pick([]string{"b2", "a1", "b0"}); unknown != "" || cmp.Diff([]string{"a", "b"}, shown) != "" {
		t.Errorf("a container with two of b and one of a sees %v, unknown %q", shown, unknown)
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
