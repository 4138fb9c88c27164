package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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
		Cause: Text("GPUs are simulated by programs that kubectl-ai copies into nodes; a source checkout has none before it is built"),
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
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
