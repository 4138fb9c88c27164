// Package holders asks the kubelet which containers hold GPUs, through its
// PodResources API (k8s.io/kubelet, v1). The device plugin API tells when a
// GPU is given out and never when it is free again; this one knows both.
package holders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// DefaultSocket is where a kubelet answers.
const DefaultSocket = "/var/lib/kubelet/pod-resources/kubelet.sock"

// resources are the extended resources that are looked at.
const resources = "nvidia.com/"

// List returns the containers of a node that hold GPUs, by name.
func List(ctx context.Context, socket string) (list []model.Holder, err error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("dial the kubelet: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	answer, err := api.NewPodResourcesListerClient(conn).List(ctx, &api.ListPodResourcesRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask the kubelet who holds GPUs: %w", err)
	}
	for _, pod := range answer.GetPodResources() {
		for _, c := range pod.GetContainers() {
			h := model.Holder{Namespace: pod.GetNamespace(), Pod: pod.GetName(), Container: c.GetName()}
			for _, devices := range c.GetDevices() {
				if !strings.HasPrefix(devices.GetResourceName(), resources) {
					continue
				}
				for _, id := range devices.GetDeviceIds() {
					if uuid := model.UnitUUID(id); !slices.Contains(h.Devices, uuid) {
						h.Devices = append(h.Devices, uuid)
					}
				}
			}
			if len(h.Devices) > 0 {
				slices.Sort(h.Devices)
				list = append(list, h)
			}
		}
	}
	slices.SortFunc(list, func(a, b model.Holder) int {
		return slices.Compare([]string{a.Namespace, a.Pod, a.Container}, []string{b.Namespace, b.Pod, b.Container})
	})
	return list, nil
}
