package holders_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/holders"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

type kubelet struct {
	api.UnimplementedPodResourcesListerServer
	pods []*api.PodResources
}

func (k kubelet) List(context.Context, *api.ListPodResourcesRequest) (*api.ListPodResourcesResponse, error) {
	return &api.ListPodResourcesResponse{PodResources: k.pods}, nil
}

func TestList(t *testing.T) {
	devices := func(resource string, ids ...string) []*api.ContainerDevices {
		return []*api.ContainerDevices{{ResourceName: resource, DeviceIds: ids}}
	}
	k := kubelet{pods: []*api.PodResources{
		{Namespace: "b", Name: "two", Containers: []*api.ContainerResources{
			{Name: "main", Devices: devices("nvidia.com/gpu", "GPU-2", "GPU-1")},
			{Name: "beside"},
		}},
		{Namespace: "a", Name: "cut", Containers: []*api.ContainerResources{{Name: "main", Devices: devices("nvidia.com/mig-1g.10gb", "MIG-1")}}},
		{Namespace: "a", Name: "card", Containers: []*api.ContainerResources{{Name: "main", Devices: devices("example.com/card", "X")}}},
		{Namespace: "a", Name: "shared", Containers: []*api.ContainerResources{{Name: "main", Devices: devices("nvidia.com/gpu", "GPU-1::3", "GPU-1::0")}}},
	}}
	socket := filepath.Join(t.TempDir(), "kubelet.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	api.RegisterPodResourcesListerServer(server, k)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	got, err := holders.List(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	want := []model.Holder{
		{Namespace: "a", Pod: "cut", Container: "main", Devices: []string{"MIG-1"}},
		{Namespace: "a", Pod: "shared", Container: "main", Devices: []string{"GPU-1"}},
		{Namespace: "b", Pod: "two", Container: "main", Devices: []string{"GPU-1", "GPU-2"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if of := model.HoldersOf(got, "GPU-1"); len(of) != 2 || of[0].Pod != "shared" || of[1].Pod != "two" {
		t.Errorf("of GPU-1: %+v", of)
	}
	if _, err := holders.List(t.Context(), socket+".missing"); err == nil {
		t.Error("a kubelet that is not there answered")
	}
}
