package explain

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

var sandboxEntries = []Entry{
	{
		ID: "SBX-001", Exit: ExitPrecondition, Match: Is(engine.ErrNoEngine),
		Next: Text("start Docker Desktop, or: sudo systemctl start docker; then: docker info"),
		Long: `Sandboxes are containers, and no container engine answers on this machine. Docker,
nerdctl, finch and podman are tried in this order; the message tells what each one said.
KIND_EXPERIMENTAL_PROVIDER names the one to use, as it does for kind. If it runs and the
message says "permission denied", your user is not in the engine's group.`,
	},
	{
		ID: "SBX-002", Exit: ExitFailed, Match: Is(cluster.ErrExists),
		Next: From(func(e *cluster.ExistsError) string {
			if e.Making {
				return "wait until it is made, or choose another name with --name"
			}
			if e.Ours {
				return fmt.Sprintf("kubectl ai sandbox status --name %s, or: kubectl ai sandbox delete --name %[1]s", e.Name)
			}
			return "choose another name with --name"
		}),
		Long: "A cluster of that name is on this machine already. Nothing was done to it.",
	},
	{
		ID: "SBX-003", Exit: ExitFailed, Match: As[*cluster.NotFoundError](),
		Next: From(func(e *cluster.NotFoundError) string {
			if len(e.Known) > 0 {
				return "name one of them with --name"
			}
			return "kubectl ai sandbox create"
		}),
		Long: "No sandbox of that name is on this machine. `kubectl ai sandbox list` shows them all, stopped ones too.",
	},
	{
		ID: "SBX-004", Exit: ExitUsage, Match: As[*cluster.NameError](),
		Next: Text("choose a name such as ai or team-a"),
		Long: "A sandbox's name becomes the host name of its nodes: lower-case letters, digits and dashes, at most 49 of them.",
	},
	{
		ID: "SBX-005", Exit: ExitPrecondition, Match: Is(cluster.ErrImageUnavailable),
		Next: Text("kubectl ai sandbox image build"),
		Long: `The node image is neither in the engine nor could it be pulled. Where no registry can
be reached, kubectl ai builds a node image from source: kubectl ai sandbox image build.
An image of that kind that is on the machine is used by itself; --image names another.`,
	},
	{
		ID: "SBX-006", Exit: ExitFailed, Match: As[*cluster.CreateError](),
		Cause: From(func(e *cluster.CreateError) string { return strings.Join(e.Lines, "\n") }),
		Next: From(func(e *cluster.CreateError) string {
			if e.Retained {
				return fmt.Sprintf("look: docker logs %s-control-plane; then: kubectl ai sandbox delete --name %[1]s", e.Name)
			}
			return e.Hint
		}),
		Long: `A sandbox could not be made. The message names the step, the cause shows the lines that
matter of what kubeadm, the kubelet or the node's console said. Everything made so far was
removed, unless --retain asked to keep it for a look.`,
	},
	{
		ID: "SBX-007", Exit: ExitFailed, Match: As[*cluster.NotOursError](),
		Next: From(func(e *cluster.NotOursError) string { return "kind delete cluster --name " + e.Name }),
		Long: "kubectl ai changes only clusters that carry its mark, the file /etc/kubectl-ai/sandbox.json in their nodes. This one was made by kind or another tool.",
	},
	{
		ID: "SBX-008", Exit: ExitPrecondition, Match: As[*image.NoPayloadError](),
		Next: Text("make build, or install a release archive"),
		Long: `The programs that run in pods and nodes travel inside kubectl-ai. A bare "go install" or
"go build" carries none; "make build" puts them in, and releases have them.`,
	},
	{
		ID: "SBX-009", Exit: ExitPrecondition, Match: As[*cluster.StoppedError](),
		Next: From(func(e *cluster.StoppedError) string { return "kubectl ai sandbox start --name " + e.Name }),
		Long: "The sandbox is stopped, or its API server does not answer. A stopped sandbox keeps everything that is in it.",
	},
	{
		ID: "SBX-010", Exit: ExitFailed, Match: As[*cluster.NotReadyError](),
		Next: From(func(e *cluster.NotReadyError) string {
			return fmt.Sprintf("kubectl ai sandbox status --name %s, or repeat with a longer --wait", e.Name)
		}),
		Long: "The nodes run but did not become ready within --wait. On a busy machine more time helps; else docker exec NODE journalctl -u kubelet tells why.",
	},
	{
		ID: "SBX-011", Exit: ExitFailed, Match: As[*cluster.LockedError](),
		Next: From(func(e *cluster.LockedError) string { return "if no other program works on it: rm " + e.Lock }),
		Long: "Programs that change a kubeconfig lock it with a file beside it. This lock stayed for five seconds; a program that was killed may have left it.",
	},
	{
		ID: "SBX-012", Exit: ExitPrecondition, Match: As[*image.NotFoundError](),
		Next: Text("build the image, or pull it with the container engine, and repeat the command"),
		Long: "An image is loaded into a sandbox from the container engine of this machine, and is not there.",
	},
	{
		ID: "SBX-013", Exit: ExitUsage, Match: As[*cluster.NotNodeImageError](),
		Next: Text("leave --image out, or name an image that kind makes nodes of, like kindest/node:v1.37.0"),
		Long: "A node image carries Kubernetes, containerd and systemd in the way that kind lays down; /kind/version in it tells the version of Kubernetes. The message says what the image that was named lacks.",
	},
	{
		ID: "SBX-020", Exit: ExitUsage, Match: As[*cluster.ConfigError](),
		Next: Text("https://kind.sigs.k8s.io/docs/user/configuration shows what kind takes"),
		Long: `--config takes a configuration of kind, apiVersion kind.x-k8s.io/v1alpha4, and keeps what
is in it. It is read strictly, as kind reads it. The folders /etc/kubectl-ai and
/run/nvidia of nodes are the sandbox's own; nothing can be mounted there.`,
	},
	{
		ID: "REG-001", Exit: ExitPrecondition, Match: As[*registry.PortTakenError](),
		Next: Text("choose another port with --registry-port"),
		Long: "The registry of sandboxes listens on 127.0.0.1, by default on port 5001, and something else has that port.",
	},
	{
		ID: "REG-002", Exit: ExitFailed, Match: As[*registry.SilentError](),
		Next: From(func(e *registry.SilentError) string { return "docker logs " + e.Container }),
		Long: "The registry's container was started and did not answer within 20 s on its port of 127.0.0.1. The message shows its last lines.",
	},
}
