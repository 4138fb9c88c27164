package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

var gpuEntries = []Entry{
	{
		ID: "GPU-001", Exit: ExitUsage, Match: As[*model.UnknownProfileError](),
		Next: Text("choose one of them with --profile"),
		Long: `A profile is the GPU model that a sandbox simulates: product name, memory, power
limit, clocks, MIG profiles. Only what is simulated depends on it: the manifests that
request nvidia.com/gpu are the same for all.`,
	},
	{
		ID: "GPU-002", Exit: ExitUsage, Match: As[*model.CountError](),
		Next: Text("choose another number with --gpus-per-node"),
		Long: fmt.Sprintf("A simulated node has from 1 to %d GPUs. For a node without any: --gpus none.", model.MaxPerNode),
	},
	{
		ID: "GPU-003", Exit: ExitPrecondition, Match: As[*install.NoPayloadError](),
		Cause: Text("GPUs are offered by programs that kubectl-ai copies into nodes; a source checkout has none before it is built"),
		Next:  Text("make build, and use bin/kubectl-ai; or install a release; or: --gpus none"),
		Long: `ai-gpu (the device plugin), nvidia-smi and libnvidia-ml.so.1 are for Linux and
travel inside kubectl-ai, for amd64 and arm64. ` + "`go build` and `go install`" + ` of the sources alone leave
them out, and no other architecture has them.`,
	},
	{
		ID: "GPU-004", Exit: ExitFailed, Match: As[*install.NotOfferedError](),
		Cause: From(func(e *install.NotOfferedError) string {
			for _, node := range slices.Sorted(maps.Keys(e.Status)) {
				if line := lastLine(e.Status[node]); line != "" {
					return node + ": " + line
				}
			}
			return ""
		}),
		Next: From(func(e *install.NotOfferedError) string {
			for _, node := range slices.Sorted(maps.Keys(e.Status)) {
				return fmt.Sprintf("docker exec %s journalctl -u kubectl-ai-gpu -u kubelet --no-pager -n 50", node)
			}
			return ""
		}),
		Long: `ai-gpu runs in every node of a sandbox as the service kubectl-ai-gpu and offers its
GPUs to the kubelet through /var/lib/kubelet/device-plugins. The kubelet did not tell the
API server of them in time: it is not running, cannot reach the API server, or refuses the
registration. Both write into the node's journal.`,
	},
	{
		ID: "GPU-021", Exit: ExitUsage, Match: As[*fault.UnknownGPUError](),
		Next: Text("kubectl ai sandbox gpu ls"),
		Long: "GPUs are named by the index that nvidia-smi on the node shows, from 0 on, or by their UUID.",
	},
	{
		ID: "GPU-022", Exit: ExitUsage, Match: As[*fault.XIDError](),
		Next: Text("kubectl ai sandbox gpu fail --help lists the XIDs that are seen most"),
		Long: "An XID is the number of an error in the log of NVIDIA's driver. Those of programs (13, 31, 43, 45, 68, 109) leave a GPU healthy, every other takes it out.",
	},
	{
		ID: "GPU-023", Exit: ExitUsage, Match: As[*fault.ReadingError](),
		Long: "A reading that is set by hand is one that the board could show: power up to its limit, temperature up to 120 °C, utilisation up to 100 %.",
	},
	{
		ID: "GPU-024", Exit: ExitFailed, Match: As[*fault.OutError](),
		Next: From(func(e *fault.OutError) string { return fmt.Sprintf("kubectl ai sandbox gpu heal --gpu %d", e.GPU) }),
		Long: `XIDs of programs leave a GPU healthy. On a GPU that another fault has taken out they
would be the last XID, as if the GPU were in order again, so they are refused there.`,
	},
	{
		ID: "GPU-025", Exit: ExitPrecondition, Match: As[*fault.RealError](),
		Next: Text("make a sandbox with simulated GPUs: kubectl ai sandbox create --gpus fake --name another"),
		Long: "fail, heal and set change what simulated GPUs show. Real GPUs are never touched: their state is their driver's.",
	},
	{
		ID: "GPU-030", Exit: ExitPrecondition, Match: Is(driver.ErrNoDriver),
		Next: Text("install NVIDIA's driver; or simulate: --gpus fake"),
		Long: `Real GPUs are passed through to the nodes of a sandbox, with the driver that this machine
runs. The file /proc/driver/nvidia/version, which the loaded driver makes, is not there.
Under WSL 2 there is none either, and GPUs cannot be given to single nodes.`,
	},
	{
		ID: "GPU-031", Exit: ExitPrecondition, Match: As[*driver.IncompleteError](),
		Next: From(func(e *driver.IncompleteError) string { return e.Fix() + "; or simulate: --gpus fake" }),
		Long: `The driver is loaded, but programs would not find all of it: the libraries libcuda and
libnvidia-ml of the loaded module's version in the folders where distributions put them,
the device nodes /dev/nvidiactl and /dev/nvidia-uvm, and a GPU at least.`,
	},
	{
		ID: "GPU-032", Exit: ExitUsage, Match: func(err error) bool {
			return As[*driver.UnknownDeviceError]()(err) || As[*driver.TakenError]()(err)
		},
		Next: Text("nvidia-smi -L, and name each GPU once with --node devices="),
		Long: `--node devices= lists GPUs of this machine: their indices, ranges such as 0-3, UUIDs, or
the UUIDs of MIG devices, with colons between them. A GPU is one node's.`,
	},
	{
		ID: "GPU-033", Exit: ExitFailed, Match: As[*install.NotSeenError](),
		Next: Text("nvidia-smi -L on this machine: does it work, and list the devices that were asked for?"),
		Long: `ai-gpu in the node asked the driver's library NVML for the GPUs that the node is to have.
The message tells what it answered. The node has the driver's files from this machine,
below ` + driver.NodeRoot + `, and its device nodes.`,
	},
	{
		ID: "GPU-034", Exit: ExitPrecondition, Match: As[*RootlessError](),
		Next: Text("use an engine that runs as root; or simulate: --gpus fake"),
		Long: "The nodes of a rootless engine may not open the machine's GPUs.",
	},
}

// RootlessError says that an engine cannot give its containers GPUs.
type RootlessError struct{ Engine string }

func (e *RootlessError) Error() string {
	return e.Engine + " runs rootless, where nodes have no access to GPUs"
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
