package explain

import (
	"errors"
	"fmt"
	"strings"
)

// UnfitError says that checks of `doctor` failed.
type UnfitError struct {
	Failed int
	Why    []string // what they found, where it was not shown before
}

func (e *UnfitError) Error() string {
	if e.Failed == 1 {
		return "this machine is not ready for sandboxes: 1 check failed"
	}
	return fmt.Sprintf("this machine is not ready for sandboxes: %d checks failed", e.Failed)
}

// FindingError is a finding of `doctor` as the catalogue knows it: by the name
// of its check.
type FindingError struct{ Check string }

func (e *FindingError) Error() string { return "doctor: " + e.Check }

// FindingID is the ID of a check's findings.
func FindingID(check string) string { return Find(&FindingError{check}).ID }

func finding(id, check, long string) Entry {
	return Entry{ID: id, Exit: ExitPrecondition, Long: long, Match: func(err error) bool {
		var f *FindingError
		return errors.As(err, &f) && f.Check == check
	}}
}

var doctorEntries = []Entry{
	{
		ID: "DOC-001", Exit: ExitPrecondition, Match: As[*UnfitError](),
		Cause: From(func(e *UnfitError) string { return strings.Join(e.Why, "\n") }),
		Next:  Text("follow the fix of each FAIL, then: kubectl ai doctor"),
		Long:  "kubectl ai doctor looked at what sandboxes need of this machine. With a FAIL no sandbox can be made; a WARN says which cannot, or what will be slow or in the way.",
	},
	finding("DOC-010", "engine", `Sandboxes are containers: an engine (Docker, nerdctl, finch or podman) has to answer, and
your user has to be permitted to ask it. A rootless one needs cgroup v2 with delegation
and cannot give nodes real GPUs.`),
	finding("DOC-011", "cgroups", `Node images of kind no longer start on version 1 of control groups. An image that kubectl
ai sandbox image build makes does, but not under a rootless engine.`),
	finding("DOC-012", "resources", "A node takes 1.5 GiB of memory before the first pod. With less than 4 GiB or two CPUs there is room for one small node. Docker Desktop gives its machine what its settings say."),
	finding("DOC-013", "disk", "The engine keeps images and containers in one folder. A node takes 5 GiB there; training images are large."),
	finding("DOC-014", "inotify", `systemd, containerd and the kubelet of every node watch files, and share this kernel's limits
with your editor. Too few show up as "too many open files" in pods. doctor prints the
command and does not run it: it takes root's rights. To keep it, write the two settings
into a file of /etc/sysctl.d.`),
	finding("DOC-015", "NVIDIA driver", "With the driver of this machine nodes get its GPUs; without one, or with half of one, GPUs are simulated: scheduled and counted like real ones, and computing nothing."),
	finding("DOC-016", "node image", "Nodes are containers of one image. Where it is not on the machine the first create pulls it; without a registry in reach, kubectl ai sandbox image build makes one from source."),
	finding("DOC-017", "registry port", "Sandboxes share a registry on one port of 127.0.0.1, and another program has it. sandbox create takes --registry-port."),
	finding("DOC-018", "leftovers", `Something is left of sandboxes that nobody uses: one whose making was cut short, contexts of
clusters that are gone, a lock of the kubeconfig. doctor --fix offers to delete sandboxes
that were cut short; the rest is left to you, with the command. A sandbox that is whole
and has no context here may be in use by another KUBECONFIG: --fix leaves it alone.`),
	finding("DOC-020", "PATH", `kubectl runs the first program named kubectl-ai on PATH. GoogleCloudPlatform/kubectl-ai has
the same name and sends what follows to a language model. kubectl-ai setup --coexist gives
every verb of this one a link with a longer name, which kubectl prefers.`),
	finding("DOC-021", "completion", `kubectl (1.26 and later) asks the program kubectl_complete-ai for what may follow kubectl ai.
krew does not install it; kubectl ai setup does. kubectl's own completion has to be loaded
in the shell: kubectl completion --help.`),
	finding("DOC-022", "kubectl", `kubectl ai works without kubectl, as kubectl-ai. With it, completion takes version 1.26 at
least, and kubectl itself is supported for servers one minor version older or newer.`),
	finding("DOC-023", "cache", `The journal of generations is in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache, and
as the system has it on macOS and Windows). dev writes it and promote takes code from it.`),
	finding("DOC-024", "kubeconfig", "sandbox create writes the context of the new cluster into the first file of $KUBECONFIG, else ~/.kube/config, and locks it with a file beside it meanwhile."),
	finding("DOC-025", "contexts", `The API server of a context did not answer within two seconds. It may be stopped, gone, or
behind a VPN. Commands that name another context are not affected.`),
	finding("DOC-026", "clock", `The clock of this machine and that of an API server differ. Certificates are valid from one
time to another, tokens run out, and Leases tell who is alive by the time.`),
	finding("DOC-027", "certificates", "The client certificate in the kubeconfig is not valid now, or will not be for long. Those of kind clusters hold for a year."),
	finding("DOC-028", "proxy", `The environment names a proxy. What is local has to be reached without it: NO_PROXY lists
addresses, networks and domains, with commas between them. The engine hands both to nodes,
and nodes to what pulls images; the networks named are those of Services and pods.`),
	finding("DOC-029", "bundle", "The folder has a bundle, and kustomize does not render one of its environments."),
	finding("DOC-030", "permissions", "The cluster was asked what you may do there (SelfSubjectAccessReview). kubectl ai rbac prints the Role that promoting a bundle needs."),
}
