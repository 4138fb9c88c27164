//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"time"
)

// sandboxes are looked at, and made: those that examples make have a name of
// their own, beside the one that is there.
var sandboxes = scenario{name: "sandboxes", begin: func(u *user) {
	const runtime, tools = "kubectl-ai/examples-runtime:1", "kubectl-ai/examples-tools:2"
	u.means("my-runtime:1", runtime)
	u.means("my-tools:2", tools)
	u.sh("tar -c -C " + u.home + " bin | docker import - " + runtime + " && docker tag " + runtime + " " + tools)
	u.Cleanup(func() { u.sh("docker rmi " + runtime + " " + tools) })
	remove := func() { u.sh("kubectl ai demo --teardown --yes " + demoed) }
	remove() // of a run that was killed
	u.Cleanup(remove)
	// What images are made of is kept for the next time, as for any user.
	cache, err := os.UserHomeDir()
	if err != nil {
		u.Fatal(err)
	}
	u.means("image build", "image build --cache-dir "+filepath.Join(cache, ".cache/kubectl-ai/nodeimage"))
	u.script("sudo", `shift; exec "$@"`) // these tests are root's
}, examples: []example{
	{line: "kubectl ai sandbox list"},
	{line: "kubectl ai sandbox list -o json | jq -r '.items[].name'"},
	{line: "kubectl ai sandbox status", more: shared},
	{line: "kubectl ai sandbox status --name team -o json | jq -r .state"},
	{line: "kubectl --context kind-ai get nodes"},
	{line: "kubectl ai sandbox gpu ls", more: shared},
	{line: "kubectl ai sandbox gpu ls --node ai-worker -o wide", more: shared},
	{line: "kubectl ai sandbox gpu fail --gpu 3 --xid 79", more: shared + " --node " + sandboxName + "-worker"},
	{line: "kubectl ai sandbox gpu heal --node ai-worker --gpu 3", more: shared},
	{line: "kubectl ai sandbox gpu fail --node ai-worker --gpu 0 --ecc", more: shared},
	{line: "kubectl ai sandbox gpu ls -o json | jq '.items[] | select(.healthy | not)'", more: shared},
	{line: "kubectl ai sandbox gpu set --gpu 0 --temperature 95 --utilization 100", more: shared + " --node " + sandboxName + "-worker"},
	{line: "kubectl ai sandbox gpu heal", more: shared},
	{line: "kubectl ai sandbox load my-runtime:1 my-tools:2", more: shared},
	{line: "kubectl ai sandbox load kubectl-ai/services:local", more: shared},
	{line: "kubectl ai agent push registry.example/kubectl-ai/agent"},
	{line: "kubectl ai services push registry.example/kubectl-ai/services"},
	{line: "kubectl ai services push localhost:5001/services -o json | jq -r .image", after: pulled},
	{line: "sudo --preserve-env=HOME kubectl ai sandbox image build"},
	{line: "GOPROXY=https://proxy.example kubectl ai sandbox image build --mirror http://deb.example/debian"},
	{line: "kubectl ai sandbox image build python --package python3-numpy --tag my-runtime:1"},
	{line: "kubectl ai sandbox image list"},
	{line: "kubectl ai sandbox image list -o name"},
	// Without a terminal it asks nobody: there are others' sandboxes here.
	{line: "kubectl ai sandbox delete --all", exit: 2},
	{line: "kubectl ai sandbox create --gpus real --nodes 3", more: made, exit: withoutGPUs(), after: unmake},
	{line: "kubectl ai sandbox create --node gpus=0 --node devices=0-1 --node profile=h100,gpus=8", more: made, exit: withoutGPUs(), after: unmake},

	{line: "kubectl ai sandbox add gateway-api", more: shared, elsewhere: []string{"TestServices"}},
	{line: "kubectl ai sandbox add metrics-server", more: shared, elsewhere: []string{"TestMonitor"}, before: func(u *user) { withMetricsServer(u.T) }},
	{line: "kubectl --context kind-ai top pods -A", elsewhere: []string{"TestMonitor"}, before: func(u *user) {
		eventually(u.T, 2*time.Minute, func() error { return u.shell("kubectl top pods -A").Run() })
	}},
	{line: "kubectl ai sandbox create", more: made, elsewhere: []string{"TestLife"}},
	{line: "kubectl ai sandbox stop", more: made, elsewhere: []string{"TestLife"}},
	{line: "kubectl ai sandbox start", more: made, elsewhere: []string{"TestLife"}},
	{line: "kubectl ai sandbox delete", more: made, says: "? ", types: yes, elsewhere: []string{"TestLife"}, after: func(u *user, _ string) {
		u.means("--name team", made) // from now on
	}},
	{line: "kubectl ai sandbox create --name team --registry", more: "--registry-port 5098", elsewhere: []string{"TestLife"}},
	{line: "kubectl ai sandbox stop --name team", elsewhere: []string{"TestLife"}},
	{line: "kubectl ai sandbox start --name team", elsewhere: []string{"TestLife"}},
	{line: "kubectl ai sandbox delete --name team --yes", elsewhere: []string{"TestLife"}},
	{line: "kubectl ai sandbox create --nodes 2 --gpus-per-node 4 --profile a100-80", more: made, elsewhere: []string{"TestNodesMayHaveDifferentGPUs"}, after: unmake},
	{line: "kubectl ai sandbox create --mig all-1g.10gb", more: made, elsewhere: []string{"TestNodesMayHaveDifferentGPUs"}, after: unmake},
	{line: "kubectl ai sandbox create --time-slicing 4", more: made, elsewhere: []string{"TestNodesMayHaveDifferentGPUs"}, after: unmake},
	{line: "kubectl ai sandbox create --node gpus=0 --node profile=h100,count=2 --node profile=l4,gpus=4", more: made, elsewhere: []string{"TestNodesMayHaveDifferentGPUs"}, after: unmake},
	{line: "kubectl ai sandbox create --config kind.yaml", more: made, elsewhere: []string{"TestConfig"}, after: unmake, before: func(u *user) {
		write(u.T, u.bundle, map[string]string{"kind.yaml": "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane}]\n"})
	}},
	{line: "kubectl ai doctor --pre && kubectl ai sandbox create", elsewhere: []string{"TestDoctorSeesTheCluster", "TestLife"}, after: unmake, before: func(u *user) {
		u.means("&& kubectl ai sandbox create", "&& kubectl ai sandbox create "+made)
	}},
	{line: "kubectl ai demo", more: demoed, elsewhere: []string{"TestTheWholeLifeOfAModel"}},
	{line: "kubectl ai demo --teardown", more: demoed + " --yes"}, // also where no demo was
}}

var shared = "--name " + sandboxName // the sandbox that is there

const (
	made   = "--name kai-examples"
	demoed = "--name kai-examples --production-name kai-examples-prod"
)

// unmake removes a sandbox that an example has made.
func unmake(u *user, _ string) { _ = u.shell("kubectl ai sandbox delete --yes " + made).Run() }

// withoutGPUs is the exit code of what needs a GPU of NVIDIA.
func withoutGPUs() int {
	if _, err := os.Stat("/dev/nvidiactl"); err == nil {
		return 0
	}
	return 3
}

// pulled runs a service of an image that was pushed: the nodes of another
// cluster come by it.
func pulled(u *user, image string) {
	namespace(u.T, productionName, u.ns)
	kubectl(u.T, productionName, "run", "broker", "-n", u.ns, "--image="+image, "--", "broker")
	kubectl(u.T, productionName, "wait", "--for=condition=Ready", "pod/broker", "-n", u.ns, "--timeout=2m")
}
