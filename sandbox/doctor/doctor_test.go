package doctor

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
)

func TestChecks(t *testing.T) {
	t.Parallel()
	docker := &engine.Engine{Name: "docker", Version: "28.1", Arch: "amd64", CgroupVersion: 2}
	rootless := &engine.Engine{Name: "podman", Version: "5.4", Arch: "amd64", CgroupVersion: 2, Rootless: true}
	old := &engine.Engine{CgroupVersion: 1}
	tried := func(reason string) error {
		return &engine.NoEngineError{Tried: []engine.Attempt{{Name: "docker", Reason: reason}}}
	}
	gpus := driver.Driver{Version: "590.48.01", GPUs: make([]driver.GPU, 2)}
	half := &driver.IncompleteError{Version: "590.48.01", Missing: []string{"/dev/nvidia-uvm"}}
	for name, c := range map[string]struct {
		finding   Finding
		status    Status
		says, fix string
	}{
		"an engine":                           {Engine(docker, nil), OK, "docker 28.1 on amd64", ""},
		"a rootless engine":                   {Engine(rootless, nil), Warn, "no real GPUs", "rootless"},
		"no engine":                           {Engine(nil, tried("not installed")), Fail, "not installed", "systemctl start docker"},
		"an engine of others":                 {Engine(nil, tried("permission denied while trying to connect")), Fail, "permission denied", "usermod -aG docker"},
		"an engine that answers nonsense":     {Engine(nil, errors.New("riscv64")), Fail, "riscv64", "docker info"},
		"cgroups":                             {Cgroups(docker, false), OK, "version 2", ""},
		"old cgroups and kind's image":        {Cgroups(old, false), Warn, "do not start", "image build"},
		"old cgroups and an image of ours":    {Cgroups(old, true), OK, "version 1", ""},
		"old cgroups without root":            {Cgroups(&engine.Engine{CgroupVersion: 1, Rootless: true}, true), Fail, "rootless", "unified_cgroup_hierarchy"},
		"much memory":                         {Resources(8, 16<<30), OK, "8 CPUs, 16.0 GiB", ""},
		"little memory":                       {Resources(8, 2<<30), Warn, "one small node", "more"},
		"too little memory":                   {Resources(8, 1<<30), Fail, "1.5 GiB", "more"},
		"one CPU":                             {Resources(1, 16<<30), Warn, "1 CPUs", "more"},
		"an engine that does not tell":        {Resources(0, 0), OK, "does not tell", ""},
		"room":                                {Disk("/var/lib/docker", 100<<30, nil), OK, "100.0 GiB free in /var/lib/docker", ""},
		"little room":                         {Disk("/d", 10<<30, nil), Warn, "large", "prune"},
		"no room":                             {Disk("/d", 1<<30, nil), Fail, "5 GiB", "prune"},
		"room in a virtual machine":           {Disk("/d", 0, errors.New("no such file")), OK, "not to be seen", ""},
		"limits as kind wants them":           {Inotify(8192, 524288), OK, "8192 instances", ""},
		"limits of a distribution":            {Inotify(128, 1<<20), Warn, "a node or two", "fs.inotify.max_user_instances=8192"},
		"few watches":                         {Inotify(8192, 8192), Warn, "8192 watches", "max_user_watches=524288"},
		"tight limits":                        {Inotify(16, 8192), Fail, "16 instances", "sysctl"},
		"limits of another system":            {Inotify(0, 0), OK, "not to be seen", ""},
		"no driver":                           {Driver(driver.Driver{}, driver.ErrNoDriver, false), OK, "simulated", ""},
		"a driver":                            {Driver(gpus, nil, false), OK, "590.48.01, 2 GPUs", ""},
		"a driver and a rootless engine":      {Driver(gpus, nil, true), Warn, "cannot give", "root"},
		"half a driver":                       {Driver(gpus, half, false), Warn, "/dev/nvidia-uvm", "nvidia-modprobe"},
		"a driver that cannot be read":        {Driver(gpus, errors.New("permission denied"), false), Warn, "permission denied", "nvidia-smi"},
		"a node image":                        {Image("kindest/node:v1", true, nil), OK, "kindest/node:v1", ""},
		"a node image that has to be pulled":  {Image("kindest/node:v1", false, nil), Warn, "pulls it", "image build"},
		"an engine that does not list images": {Image("", false, errors.New("daemon died")), Fail, "daemon died", "docker images"},
		"a free port":                         {Port(5001, nil), OK, "5001", ""},
		"a taken port":                        {Port(5001, errors.New("port 5001 is taken")), Warn, "taken", "--registry-port 5002"},
	} {
		f := c.finding
		if f.Status != c.status || !strings.Contains(f.Detail, c.says) || (c.fix == "") != (f.Fix == "") || !strings.Contains(f.Fix, c.fix) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestLeftovers(t *testing.T) {
	t.Parallel()
	got := Leftovers(cluster.Leftovers{
		Unfinished: []cluster.Cluster{{Name: "ai", State: cluster.Partial}}, NoContext: []string{"mine"}, Unmarked: []string{"half"},
		StaleContexts: []string{"kind-gone"}, Locks: []string{"/home/me/.kube/config.lock"},
	})
	want := []Finding{
		{"leftovers", Warn, "/home/me/.kube/config.lock is left of a program that was killed, unless one works on the kubeconfig now", "rm /home/me/.kube/config.lock"},
		{"leftovers", Warn, "context kind-gone is of a kind cluster that is not here", "kubectl config delete-context kind-gone; kubectl config delete-cluster kind-gone; kubectl config delete-user kind-gone"},
		{"leftovers", Warn, "kind cluster half has nodes that never ran: its making was cut short", "kind delete cluster --name half"},
		{"leftovers", Warn, "sandbox ai (partial) is not whole: its making was cut short, unless it goes on now", "kubectl ai doctor --fix, or: kubectl ai sandbox delete --name ai"},
		{"leftovers", Warn, "sandbox mine has no context in the kubeconfig: it was removed, or is in another one", "kubectl ai sandbox start --name mine writes it"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := Leftovers(cluster.Leftovers{}); len(got) != 1 || got[0].Status != OK {
		t.Errorf("nothing left: %+v", got)
	}
}

func TestFailed(t *testing.T) {
	t.Parallel()
	if n := Failed([]Finding{ok("a", ""), warn("b", "", ""), fail("c", "", ""), fail("d", "", "")}); n != 2 {
		t.Errorf("%d", n)
	}
}
