package nodeimage

import "github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/debian"

// Kubernetes is the version that nodes run.
const Kubernetes = "v1.36.3"

// Versions of what else is in a node, known to go together: containerd 2.3
// with Kubernetes 1.36, and the runc that kind's own base image has.
const (
	kindVersion       = "v0.33.0" // must be that of go.mod; a test says so
	containerdVersion = "v2.3.7"
	runcVersion       = "v1.4.3"
	etcdVersion       = "v3.6.16"
	corednsVersion    = "v1.14.6"
	cniVersion        = "v1.9.1"
	crictlVersion     = "v1.36.0"
	storageVersion    = "v0.0.30"
)

const kindModule = "sigs.k8s.io/kind"

// source is one module and the programs that are compiled from it. Each is
// compiled in a module of its own, so that the requirements of two never meet.
type source struct {
	Module, Version string
	Programs        []program
	Cgo             bool     `json:",omitempty"`
	Tags            []string `json:",omitempty"`
	// Set are string variables that the linker sets, "package.name" -> value.
	Set map[string]string `json:",omitempty"`
	// LDFlags are what else the linker is told.
	LDFlags string `json:",omitempty"`
	// Main is the main package, where it is a file of ours and not the
	// module's; go calls the program by the module's name.
	Main []byte `json:",omitempty"`
	// Staging: the module requires modules that live in its own repository
	// at v0.0.0, which are published as v0.MINOR.PATCH.
	Staging bool `json:",omitempty"`
}

// program is a main package. Name is the file in the node, Package the path
// below the module, Output what the go command calls it if not Name.
type program struct{ Name, Package, Output string }

// sources are all that is compiled, the longest first, ours last.
func sources() []source {
	return append(published,
		source{Module: "github.com/coredns/coredns", Version: corednsVersion, Programs: []program{{Name: "coredns"}}, Main: mainFile("files/coredns.go.txt")},
		source{Module: "pause", Programs: []program{{Name: "pause"}}, Main: mainFile("pause/main.go")},
	)
}

func mainFile(name string) []byte {
	content, err := embedded.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return content
}

// published are the programs that are compiled as their modules have them.
var published = []source{
	{
		Module: "k8s.io/kubernetes", Version: Kubernetes, Staging: true,
		Programs: []program{
			{Name: "kubelet", Package: "cmd/kubelet"},
			{Name: "kubeadm", Package: "cmd/kubeadm"},
			{Name: "kubectl", Package: "cmd/kubectl"},
			{Name: "kube-apiserver", Package: "cmd/kube-apiserver"},
			{Name: "kube-controller-manager", Package: "cmd/kube-controller-manager"},
			{Name: "kube-scheduler", Package: "cmd/kube-scheduler"},
			{Name: "kube-proxy", Package: "cmd/kube-proxy"},
		},
		Set: kubernetesVersion(Kubernetes),
	},
	{
		Module: "github.com/containerd/containerd/v2", Version: containerdVersion,
		Programs: []program{
			{Name: "containerd", Package: "cmd/containerd"},
			{Name: "ctr", Package: "cmd/ctr"},
			{Name: "containerd-shim-runc-v2", Package: "cmd/containerd-shim-runc-v2"},
		},
		Tags: []string{"no_aufs", "no_zfs", "no_btrfs", "no_devmapper"}, // snapshotters that a node never uses
		Set:  map[string]string{"github.com/containerd/containerd/v2/version.Version": containerdVersion},
	},
	{
		Module: "go.etcd.io/etcd/server/v3", Version: etcdVersion,
		Programs: []program{{Name: "etcd", Output: "server"}},
	},
	{
		Module: "github.com/rancher/local-path-provisioner", Version: storageVersion,
		Programs: []program{{Name: "local-path-provisioner"}},
	},
	{
		Module: "sigs.k8s.io/cri-tools", Version: crictlVersion,
		Programs: []program{{Name: "crictl", Package: "cmd/crictl"}},
		Set:      map[string]string{"sigs.k8s.io/cri-tools/pkg/version.Version": crictlVersion},
	},
	{
		// Static pods ask for the runtime's seccomp profile, so a runc
		// without seccomp would not start the control plane.
		Module: "github.com/opencontainers/runc", Version: runcVersion,
		Programs: []program{{Name: "runc"}},
		Cgo:      true, Tags: []string{"seccomp", "netgo", "osusergo"},
		LDFlags: "-extldflags -static",
		Set:     map[string]string{"main.version": runcVersion[1:]},
	},
	{
		Module: "github.com/containernetworking/plugins", Version: cniVersion,
		Programs: []program{
			{Name: "ptp", Package: "plugins/main/ptp"},
			{Name: "loopback", Package: "plugins/main/loopback"},
			{Name: "host-local", Package: "plugins/ipam/host-local"},
			{Name: "portmap", Package: "plugins/meta/portmap"},
		},
	},
}

// nodeRoot is the Debian under a node. Debian 12 because its systemd still
// runs on cgroup v1, and on v2 as well as any.
func nodeRoot(arch string) debian.Root {
	return debian.Root{
		Name: "node", Suite: "bookworm", Arch: arch,
		Packages: []string{
			"systemd", "systemd-sysv", "dbus", "udev", // init
			"iptables", "nftables", "ebtables", "iproute2", "conntrack", "ethtool", "socat", "iputils-ping", // network
			"util-linux", "mount", "kmod", "e2fsprogs", "libseccomp2", "pigz", // containers
			"procps", "hostname", "ca-certificates", "curl", "jq", // kind's scripts and people
			"busybox-static", // becomes the helper image of the storage class
		},
		// systemd starts only what a node needs: no consoles, no devices, no
		// timers of Debian's. What kind's own base image removes, too.
		Remove: []string{
			"usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
			"usr/lib/systemd/system/multi-user.target.wants/*",
			"usr/lib/systemd/system/local-fs.target.wants/*",
			"usr/lib/systemd/system/basic.target.wants/*",
			"usr/lib/systemd/system/sockets.target.wants/*udev*",
			"usr/lib/systemd/system/sockets.target.wants/*initctl*",
			"etc/systemd/system/*.wants/*",
		},
		Links: map[string]string{
			"etc/systemd/system/multi-user.target.wants/kubelet.service":          "/etc/systemd/system/kubelet.service",
			"etc/systemd/system/multi-user.target.wants/containerd.service":       "/etc/systemd/system/containerd.service",
			"etc/systemd/system/multi-user.target.wants/undo-mount-hacks.service": "/etc/systemd/system/undo-mount-hacks.service",
			// It would register formats with the kernel of the machine.
			"etc/systemd/system/systemd-binfmt.service": "/dev/null",
		},
	}
}
