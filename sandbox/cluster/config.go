package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// maxNameLen keeps <name>-control-plane within a host name's 63 characters.
const maxNameLen = 63 - len("-"+ControlPlane)

var nameShape = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// CheckName returns a *NameError for a name that cannot be a sandbox's.
func CheckName(name string) error {
	switch {
	case !nameShape.MatchString(name):
		return &NameError{name, "lower-case letters, digits and dashes between them, please"}
	case len(name) > maxNameLen:
		return &NameError{name, fmt.Sprintf("at most %d characters, so that node names fit a host name", maxNameLen)}
	}
	return nil
}

// configInput is everything that shapes the kind configuration.
type configInput struct {
	name          string
	image         string
	nodes         int
	kubernetes    string // v1.36.3; "" = unknown
	cgroupVersion int
	// registryConfig asks for containerd's folder of registry hosts, which
	// an image lacks.
	registryConfig bool
	// mounts of each node, the control plane first.
	mounts [][]Mount
	user   *UserConfig // what the user wrote, nil for nothing
}

// Mount is a file or folder of this machine that a node sees, read-only.
type Mount struct{ Machine, Node string }

// kubeletPatch shows the kubelet's devices within a second: it publishes
// them with the node status, by default every ten.
const kubeletPatch = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
nodeStatusUpdateFrequency: 1s
`

// imagePatch lets pods use an image that was loaded into a node even when a
// pod has pulled the same image by another name. Kubelets of 1.35 and newer
// would want to pull it again, to see the credentials for that name, though
// the pod says IfNotPresent. A sandbox has one user.
const imagePatch = "imagePullCredentialsVerificationPolicy: NeverVerify\n"

// cgroupV1Patch lets kubelets of 1.35 and newer start on an engine with
// cgroup v1, which they refuse by default.
const cgroupV1Patch = "failCgroupV1: false\n"

// cdiPatch lets containers ask for devices by CDI, which containerd 1.7 has and
// does not do by default. From 2.0 on it does, and has settings of version 3.
const cdiPatch = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  enable_cdi = true
`

// Both forms of the same setting; kind applies the one whose version is the
// image's.
const (
	registryPatchV2 = `version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`
	registryPatchV3 = `version = 3
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
`
)

// kindConfig returns the cluster that kind makes. One node is a control plane
// that takes pods; more are workers beside it.
func kindConfig(in configInput) *v1alpha4.Cluster {
	patch := kubeletPatch
	if major, minor, ok := parseMinor(in.kubernetes); ok && (major > 1 || minor >= 35) {
		patch += imagePatch
		if in.cgroupVersion == 1 {
			patch += cgroupV1Patch
		}
	}
	c := &v1alpha4.Cluster{
		TypeMeta:             v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Name:                 in.name,
		KubeadmConfigPatches: []string{patch},
		Networking:           v1alpha4.Networking{APIServerAddress: "127.0.0.1"},
		Nodes:                []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole, Image: in.image}},
	}
	for range in.nodes - 1 {
		c.Nodes = append(c.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole, Image: in.image})
	}
	if in.registryConfig {
		c.ContainerdConfigPatches = []string{registryPatchV2, registryPatchV3}
	}
	for i, mounts := range in.mounts {
		if i >= len(c.Nodes) {
			break
		}
		for _, m := range mounts {
			c.Nodes[i].ExtraMounts = append(c.Nodes[i].ExtraMounts, v1alpha4.Mount{HostPath: m.Machine, ContainerPath: m.Node, Readonly: true})
		}
	}
	if in.cdi() {
		c.ContainerdConfigPatches = append(c.ContainerdConfigPatches, cdiPatch)
	}
	if in.user != nil {
		return in.user.merge(c)
	}
	return c
}

// cdi says whether a node has GPUs of this machine.
func (in configInput) cdi() bool {
	return slices.ContainsFunc(in.mounts, func(m []Mount) bool { return len(m) > 0 })
}

// parseMinor reads v1.36.3, or a tag that begins so.
func parseMinor(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 3 || !strings.HasPrefix(version, "v") {
		return 0, 0, false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	return major, minor, errMajor == nil && errMinor == nil
}
