package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// UserConfig is a kind configuration that the user wrote. A sandbox that is
// made from one has its nodes and its settings; what a sandbox needs beside
// them is added where they say nothing.
type UserConfig struct{ kind v1alpha4.Cluster }

// ConfigError says why a kind configuration cannot make a sandbox.
type ConfigError struct{ Reason string }

func (e *ConfigError) Error() string { return "kind configuration: " + e.Reason }

const kindVersion = "kind.x-k8s.io/v1alpha4"

// ReadConfig reads a configuration as kind reads it. It returns *ConfigError.
func ReadConfig(r io.Reader) (*UserConfig, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, &ConfigError{Reason: err.Error()}
	}
	u := &UserConfig{}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	var wrong *yaml.TypeError
	if err := d.Decode(&u.kind); errors.As(err, &wrong) {
		return nil, &ConfigError{Reason: strings.Join(wrong.Errors, "; ")}
	} else if err != nil {
		return nil, &ConfigError{Reason: err.Error()}
	}
	if u.kind.APIVersion != kindVersion || u.kind.Kind != "Cluster" {
		return nil, &ConfigError{Reason: fmt.Sprintf("apiVersion %s and kind Cluster, please", kindVersion)}
	}
	if len(u.kind.Nodes) == 0 {
		u.kind.Nodes = make([]v1alpha4.Node, 1)
	}
	for i := range u.kind.Nodes {
		if u.kind.Nodes[i].Role == "" {
			u.kind.Nodes[i].Role = v1alpha4.ControlPlaneRole
		}
	}
	// As a sandbox has them: the control plane first.
	slices.SortStableFunc(u.kind.Nodes, func(a, b v1alpha4.Node) int { return strings.Compare(string(a.Role), string(b.Role)) })
	if u.kind.Nodes[0].Role != v1alpha4.ControlPlaneRole {
		return nil, &ConfigError{Reason: "no node is a control plane"}
	}
	return u, u.check()
}

// check names what a sandbox cannot be.
func (u *UserConfig) check() error {
	var errs []error
	for i, n := range u.kind.Nodes {
		for _, m := range n.ExtraMounts {
			if within(m.ContainerPath, path.Dir(markPath)) || within(m.ContainerPath, driverRoot) {
				errs = append(errs, &ConfigError{Reason: fmt.Sprintf("nodes[%d]: %s is mounted, where a sandbox has files of its own", i, m.ContainerPath)})
			}
		}
	}
	return errors.Join(errs...)
}

// driverRoot is where nodes with real GPUs have the files of their driver.
const driverRoot = "/run/nvidia"

func within(name, folder string) bool {
	name = path.Clean(name)
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// Name is the cluster's name, "" if the configuration has none.
func (u *UserConfig) Name() string { return u.kind.Name }

// Nodes is how many nodes it has.
func (u *UserConfig) Nodes() int { return len(u.kind.Nodes) }

// images returns the images that its nodes name, the control plane's first.
func (u *UserConfig) images() []string {
	var images []string
	for _, n := range u.kind.Nodes {
		if n.Image != "" && !slices.Contains(images, n.Image) {
			images = append(images, n.Image)
		}
	}
	return images
}

// ownNetwork says whether the user brings the pod network.
func (u *UserConfig) ownNetwork() bool { return u != nil && u.kind.Networking.DisableDefaultCNI }

// statusDelay is how long a kubelet may take to show GPUs, by the user's own
// settings; ok is false where they have none.
func (u *UserConfig) statusDelay() (delay time.Duration, ok bool) {
	if u == nil {
		return 0, false
	}
	patches := slices.Clone(u.kind.KubeadmConfigPatches)
	for _, n := range u.kind.Nodes {
		patches = append(patches, n.KubeadmConfigPatches...)
	}
	for _, p := range patches {
		for document := range strings.SplitSeq(p, "\n---") {
			var settings struct {
				Kind      string `yaml:"kind"`
				Frequency string `yaml:"nodeStatusUpdateFrequency"`
			}
			if yaml.Unmarshal([]byte(document), &settings) != nil || settings.Kind != "KubeletConfiguration" {
				continue // kind says what is wrong with it
			}
			if d, err := time.ParseDuration(settings.Frequency); err == nil {
				delay, ok = max(delay, d), true
			}
		}
	}
	return delay, ok
}

// merge returns the user's cluster with what a sandbox adds. Patches of ours
// come first, so that the user's have the last word.
func (u *UserConfig) merge(ours *v1alpha4.Cluster) *v1alpha4.Cluster {
	c := u.kind.DeepCopy()
	c.Name = ours.Name
	c.KubeadmConfigPatches = append(slices.Clone(ours.KubeadmConfigPatches), c.KubeadmConfigPatches...)
	c.ContainerdConfigPatches = append(slices.Clone(ours.ContainerdConfigPatches), c.ContainerdConfigPatches...)
	if c.Networking.APIServerAddress == "" && c.Networking.IPFamily != v1alpha4.IPv6Family {
		c.Networking.APIServerAddress = ours.Networking.APIServerAddress
	}
	for i := range c.Nodes {
		if c.Nodes[i].Image == "" {
			c.Nodes[i].Image = ours.Nodes[0].Image
		}
		c.Nodes[i].ExtraMounts = append(c.Nodes[i].ExtraMounts, ours.Nodes[i].ExtraMounts...)
	}
	return c
}
