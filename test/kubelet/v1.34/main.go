// v1.34 is the device plugin registration server of a kubelet 1.34: it serves
// in a folder and prints what plugins tell it.
//
// usage: v1.34 FOLDER
package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager/plugin/v1beta1"
)

// event is a line of stdout.
type event struct {
	Event    string            `json:"event"`
	Resource string            `json:"resource,omitempty"`
	Devices  map[string]string `json:"devices,omitempty"` // health by ID
}

type kubelet struct{ out *json.Encoder }

func (k kubelet) say(e event) {
	if err := k.out.Encode(e); err != nil {
		os.Exit(1) // whoever listened is gone
	}
}

// CleanupPluginDirectory does what the device manager does at its start.
func (k kubelet) CleanupPluginDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (k kubelet) PluginConnected(resource string, _ v1beta1.DevicePlugin) error {
	k.say(event{Event: "connected", Resource: resource})
	return nil
}

func (k kubelet) PluginDisconnected(resource string) {
	k.say(event{Event: "disconnected", Resource: resource})
}

func (k kubelet) PluginListAndWatchReceiver(resource string, r *api.ListAndWatchResponse) {
	e := event{Event: "devices", Resource: resource, Devices: map[string]string{}}
	for _, d := range r.Devices {
		e.Devices[d.ID] = d.Health
	}
	k.say(e)
}

func main() {
	k := kubelet{json.NewEncoder(os.Stdout)}
	s, err := v1beta1.NewServer(filepath.Join(os.Args[1], "kubelet.sock"), k, k)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		k.say(event{Event: err.Error()})
		os.Exit(1)
	}
	select {} // until it is killed, as a kubelet is
}
