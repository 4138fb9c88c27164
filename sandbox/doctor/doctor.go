// Package doctor says whether this machine can have sandboxes, and what to do
// where not. A check is a function of what was found out: it asks nothing
// itself, changes nothing, and its finding is a value.
package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
)

// Status of a finding.
type Status string

// With FAIL no sandbox can be made; with WARN some cannot.
const (
	OK   Status = "OK"
	Warn Status = "WARN"
	Fail Status = "FAIL"
)

// Finding is what a check found.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // a command, where one helps
}

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Status: OK, Detail: fmt.Sprintf(format, args...)}
}

func warn(check, fix, format string, args ...any) Finding {
	return Finding{Check: check, Status: Warn, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

func fail(check, fix, format string, args ...any) Finding {
	return Finding{Check: check, Status: Fail, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

// Failed counts the findings with FAIL.
func Failed(findings []Finding) (n int) {
	for _, f := range findings {
		if f.Status == Fail {
			n++
		}
	}
	return n
}

// Engine judges the container engine, or why there is none.
func Engine(e *engine.Engine, err error) Finding {
	const check = "engine"
	var none *engine.NoEngineError
	switch {
	case errors.As(err, &none):
		for _, a := range none.Tried {
			if strings.Contains(a.Reason, "permission denied") {
				return fail(check, "sudo usermod -aG docker $USER, and log in again", "%s: %s", a.Name, a.Reason)
			}
		}
		return fail(check, "sudo systemctl start docker, or start Docker Desktop", "%v", err)
	case err != nil:
		return fail(check, "docker info", "%v", err)
	case e.Rootless:
		return warn(check, "https://kind.sigs.k8s.io/docs/user/rootless", "%s %s runs rootless: it needs cgroup v2 with delegation, and gives nodes no real GPUs", e.Name, e.Version)
	}
	return ok(check, "%s %s on %s, as root", e.Name, e.Version, e.Arch)
}

// Cgroups judges the version of the engine's control groups, given whether a
// node image that was built on this machine is here.
func Cgroups(e *engine.Engine, built bool) Finding {
	const check = "cgroups"
	switch {
	case e.CgroupVersion == 1 && e.Rootless:
		return fail(check, "boot with systemd.unified_cgroup_hierarchy=1", "version 1, on which a rootless engine cannot run nodes")
	case e.CgroupVersion == 1 && !built:
		return warn(check, "kubectl ai sandbox image build", "version 1, on which kind's newer node images do not start")
	case e.CgroupVersion == 1:
		return ok(check, "version 1, with a node image that runs on it")
	}
	return ok(check, "version %d", e.CgroupVersion)
}

// What a node takes, measured on one with a GPU pod and rounded up.
const (
	gibibyte     = 1 << 30
	nodeMemory   = 3 * gibibyte / 2
	comfortable  = 4 * gibibyte
	nodeDisk     = 5 * gibibyte
	enoughDisk   = 20 * gibibyte
	leastCPUs    = 2
	inotifyNode  = 64 // instances that systemd, containerd and the kubelet of a node hold
	inotifyFew   = 8 * inotifyNode
	watchesFew   = 1 << 16
	inotifyFix   = "sudo sysctl fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288"
	engineMemory = "give the engine's machine more, in its settings"
)

// Resources judges the CPUs and the memory that the engine has.
func Resources(cpus int, memory uint64) Finding {
	const check = "resources"
	size := fmt.Sprintf("%d CPUs, %.1f GiB of memory", cpus, float64(memory)/gibibyte)
	switch {
	case cpus == 0 || memory == 0:
		return ok(check, "the engine does not tell")
	case memory < nodeMemory:
		return fail(check, engineMemory, "%s: a node takes 1.5 GiB", size)
	case memory < comfortable || cpus < leastCPUs:
		return warn(check, engineMemory, "%s: one small node", size)
	}
	return ok(check, "%s", size)
}

// Disk judges the space where the engine keeps images and containers; an error
// means that it cannot be seen from here.
func Disk(folder string, free uint64, err error) Finding {
	const check = "disk"
	if err != nil || folder == "" {
		return ok(check, "not to be seen from here")
	}
	size := fmt.Sprintf("%.1f GiB free in %s", float64(free)/gibibyte, folder)
	switch {
	case free < nodeDisk:
		return fail(check, "docker system prune", "%s: a node takes 5 GiB", size)
	case free < enoughDisk:
		return warn(check, "docker system prune", "%s: training images are large", size)
	}
	return ok(check, "%s", size)
}

// Inotify judges the kernel's limits of watching files; 0 is one that is not
// to be seen.
func Inotify(instances, watches int) Finding {
	const check = "inotify"
	switch {
	case instances == 0 || watches == 0:
		return ok(check, "not to be seen from here")
	case instances < inotifyNode:
		return fail(check, inotifyFix, "%d instances: a node takes about %d", instances, inotifyNode)
	case instances < inotifyFew || watches < watchesFew:
		return warn(check, inotifyFix, "%d instances and %d watches: enough for a node or two; more fail with \"too many open files\"", instances, watches)
	}
	return ok(check, "%d instances, %d watches", instances, watches)
}

// Driver judges the machine's NVIDIA driver. Without one GPUs are simulated,
// which is no fault.
func Driver(d driver.Driver, err error, rootless bool) Finding {
	const check = "NVIDIA driver"
	var incomplete *driver.IncompleteError
	switch {
	case errors.Is(err, driver.ErrNoDriver):
		return ok(check, "none: GPUs are simulated")
	case errors.As(err, &incomplete):
		return warn(check, incomplete.Fix(), "%v: GPUs are simulated", err)
	case err != nil:
		return warn(check, "nvidia-smi", "%v: GPUs are simulated", err)
	case rootless:
		return warn(check, "use an engine that runs as root", "%s, with %d GPUs that a rootless engine cannot give to nodes", d.Version, len(d.GPUs))
	}
	return ok(check, "%s, %d GPUs", d.Version, len(d.GPUs))
}

// Image judges whether there is an image to make nodes of.
func Image(ref string, here bool, err error) Finding {
	const check = "node image"
	switch {
	case err != nil:
		return fail(check, "docker images", "%v", err)
	case !here:
		return warn(check, "kubectl ai sandbox image build, or: docker pull "+ref, "%s is not here: the first create pulls it", ref)
	}
	return ok(check, "%s", ref)
}

// Port judges the port on which sandboxes have their registry by default.
func Port(port int, err error) Finding {
	const check = "registry port"
	if err != nil {
		return warn(check, fmt.Sprintf("kubectl ai sandbox create --registry-port %d", port+1), "%v", err)
	}
	return ok(check, "%d", port)
}
