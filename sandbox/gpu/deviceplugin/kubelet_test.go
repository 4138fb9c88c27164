package deviceplugin

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// patience is how long a test waits for what comes in milliseconds.
const patience = 20 * time.Second

// kubelet is the device manager of a kubelet, as far as a plugin can see:
// it takes registrations, dials back and keeps a stream open.
type kubelet struct {
	api.UnimplementedRegistrationServer

	t      *testing.T
	dir    string
	server *grpc.Server
	served chan struct{}
	lists  chan list // what plugins did, in order

	mu      sync.Mutex
	plugins []*grpc.ClientConn
	current *grpc.ClientConn // of the plugin that registered last
	crossed int              // times that the end of one plugin ended the next
	streams sync.WaitGroup
	refuse  int // registrations to refuse
}

// list is a registration (socket) or a list of devices (devices).
type list struct {
	socket  string
	devices []*api.Device
}

// startKubelet does what a kubelet does when it starts: it deletes all
// sockets in the folder and makes its own.
func startKubelet(t *testing.T, dir string) *kubelet {
	t.Helper()
	for _, s := range sockets(t, dir, "*") {
		// It may be gone: a plugin that lost its kubelet takes another socket.
		if err := os.RemoveAll(filepath.Join(dir, s)); err != nil {
			t.Fatal(err)
		}
	}
	k := &kubelet{t: t, dir: dir, server: grpc.NewServer(), served: make(chan struct{}), lists: make(chan list, 100)}
	listener, err := net.Listen("unix", filepath.Join(dir, "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	// A kubelet that ends leaves its socket behind.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	api.RegisterRegistrationServer(k.server, k)
	go func() {
		defer close(k.served)
		_ = k.server.Serve(listener)
	}()
	t.Cleanup(k.stop)
	return k
}

func (k *kubelet) stop() {
	k.hangUp()
	k.server.Stop()
	<-k.served
	k.streams.Wait()
	if k.crossed > 0 {
		k.t.Errorf("%d times the plugin registered before the kubelet knew that it was gone", k.crossed)
	}
}

// hangUp closes the connections to plugins.
func (k *kubelet) hangUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.plugins {
		_ = c.Close()
	}
	k.plugins = nil
}

// Register implements the API as a kubelet does: it dials the plugin before
// it answers.
func (k *kubelet) Register(ctx context.Context, r *api.RegisterRequest) (*api.Empty, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse > 0 {
		k.refuse--
		return nil, fmt.Errorf("not now")
	}
	if r.Version != "v1beta1" || r.ResourceName != "nvidia.com/gpu" || filepath.Base(r.Endpoint) != r.Endpoint {
		return nil, fmt.Errorf("bad registration %v", r)
	}
	conn, err := grpc.NewClient("unix://"+filepath.Join(k.dir, r.Endpoint), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	client := api.NewDevicePluginClient(conn)
	options, err := client.GetDevicePluginOptions(ctx, &api.Empty{})
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("dial back: %w", err)
	}
	if !options.GetPreferredAllocationAvailable || options.PreStartRequired {
		return nil, fmt.Errorf("bad options %v", options)
	}
	k.plugins = append(k.plugins, conn)
	k.current = conn
	stream, err := client.ListAndWatch(context.WithoutCancel(ctx), &api.Empty{})
	if err != nil {
		return nil, err
	}
	k.streams.Go(func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				k.ended(conn)
				return
			}
			k.lists <- list{devices: r.GetDevices()}
		}
	})
	k.lists <- list{socket: r.Endpoint}
	return &api.Empty{}, nil
}

// ended does what a kubelet before 1.37 does when a stream ends: it ends the
// connection that is registered by then.
func (k *kubelet) ended(conn *grpc.ClientConn) {
	time.Sleep(20 * time.Millisecond) // on a busy machine
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return
	}
	if k.current != conn {
		k.crossed++
	}
	_ = k.current.Close()
	k.current = nil
}

// registered waits for a registration and the list that follows.
func (k *kubelet) registered() (socket string, devices []*api.Device) {
	k.t.Helper()
	for socket == "" || devices == nil {
		l := k.next()
		if l.socket != "" {
			socket = l.socket
		} else {
			devices = l.devices
		}
	}
	return socket, devices
}

func (k *kubelet) next() list {
	k.t.Helper()
	select {
	case l := <-k.lists:
		return l
	case <-time.After(patience):
		k.t.Fatal("the plugin did nothing")
		return list{}
	}
}

// plugin returns a client of the plugin that registered last.
func (k *kubelet) plugin() api.DevicePluginClient {
	k.mu.Lock()
	defer k.mu.Unlock()
	return api.NewDevicePluginClient(k.plugins[len(k.plugins)-1])
}

func sockets(t *testing.T, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern+".sock"))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	slices.Sort(paths)
	return paths
}
