package deviceplugin

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// server is one socket and what the kubelet asks through it.
type server struct {
	api.UnimplementedDevicePluginServer

	plugin *Plugin
	name   string // of the socket, in the plugin's folder
	grpc   *grpc.Server
	opened chan struct{} // a stream was opened
	ended  chan struct{} // the last stream has ended
	served chan error    // the server has stopped by itself
	done   chan struct{} // the serving goroutine is gone
	// streams is the number of open streams.
	streams atomic.Int32
}

// listen serves on a new socket. The kubelet may call as soon as it is told.
func listen(p *Plugin) (*server, error) {
	if err := os.MkdirAll(p.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the device plugin folder: %w", err)
	}
	s := &server{
		plugin: p,
		name:   p.socket(uuid.NewString()[:8]),
		grpc:   grpc.NewServer(),
		opened: make(chan struct{}, 1),
		ended:  make(chan struct{}, 1),
		served: make(chan error, 1),
		done:   make(chan struct{}),
	}
	listener, err := net.Listen("unix", s.path())
	if err != nil {
		return nil, fmt.Errorf("listen for the kubelet: %w", err)
	}
	api.RegisterDevicePluginServer(s.grpc, s)
	go func() {
		defer close(s.done)
		if err := s.grpc.Serve(listener); err != nil {
			s.served <- err
		}
	}()
	return s, nil
}

// close ends all calls and removes the socket.
func (s *server) close() {
	s.grpc.Stop()
	<-s.done
}

func (s *server) path() string { return filepath.Join(s.plugin.Dir, s.name) }

func (s *server) exists() bool {
	_, err := os.Lstat(s.path())
	return err == nil
}

func pluginOptions() *api.DevicePluginOptions {
	return &api.DevicePluginOptions{GetPreferredAllocationAvailable: true}
}

// GetDevicePluginOptions implements the API.
func (s *server) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return pluginOptions(), nil
}

// ListAndWatch sends the full list of devices, and again when it changes.
func (s *server) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	s.streams.Add(1)
	signal(s.opened)
	defer func() {
		if s.streams.Add(-1) == 0 {
			signal(s.ended)
		}
	}()
	for {
		list, changed := s.plugin.devices.List()
		response := &api.ListAndWatchResponse{}
		for _, d := range list {
			health := api.Unhealthy
			if d.Healthy {
				health = api.Healthy
			}
			device := &api.Device{ID: d.ID, Health: health}
			if d.NUMA > 0 {
				device.Topology = &api.TopologyInfo{Nodes: []*api.NUMANode{{ID: int64(d.NUMA - 1)}}}
			}
			response.Devices = append(response.Devices, device)
		}
		if err := stream.Send(response); err != nil {
			return fmt.Errorf("send the list of devices: %w", err)
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-changed:
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// GetPreferredAllocation chooses among free devices.
func (s *server) GetPreferredAllocation(_ context.Context, r *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error) {
	response := &api.PreferredAllocationResponse{}
	for _, c := range r.GetContainerRequests() {
		ids := s.plugin.devices.prefer(c.GetAvailableDeviceIDs(), c.GetMustIncludeDeviceIDs(), int(c.GetAllocationSize()), s.plugin.Distributed)
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerPreferredAllocationResponse{DeviceIDs: ids})
	}
	return response, nil
}

// Allocate says what a container with these devices gets. Nothing is
// remembered: the kubelet never says when devices are free again.
func (s *server) Allocate(_ context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, c := range r.GetContainerRequests() {
		ids, unknown := s.plugin.devices.pick(c.GetDevicesIds())
		if unknown != "" {
			return nil, status.Errorf(codes.InvalidArgument, "no device %s on this node", unknown)
		}
		answer := &api.ContainerAllocateResponse{Envs: map[string]string{}}
		maps.Copy(answer.Envs, s.plugin.Environment)
		if s.plugin.Variable != "" {
			answer.Envs[s.plugin.Variable] = strings.Join(ids, ",")
		}
		if s.plugin.CDIKind != "" {
			for _, id := range ids {
				answer.CdiDevices = append(answer.CdiDevices, &api.CDIDevice{Name: s.plugin.CDIKind + "=" + id})
			}
		}
		for _, m := range s.plugin.Mounts {
			answer.Mounts = append(answer.Mounts, &api.Mount{HostPath: m.Source, ContainerPath: m.Target, ReadOnly: true})
		}
		s.plugin.Log.Info("allocated", "devices", ids)
		response.ContainerResponses = append(response.ContainerResponses, answer)
	}
	return response, nil
}
