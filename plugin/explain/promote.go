package explain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/canary"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/evidence"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gitops"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// AlteredError says that an environment is not as its release left it.
type AlteredError struct {
	Environment string
	Revision    int
	Differences int
}

func (e *AlteredError) Error() string {
	return fmt.Sprintf("%d findings in %s differ from release %d", e.Differences, e.Environment, e.Revision)
}

// onlyAccess matches a preflight that found nothing but missing permissions.
func onlyAccess(err error) bool {
	var failed *preflight.FailedError
	return errors.As(err, &failed) && failed.OnlyAccess()
}

// nextOfFindings lists what helps against each finding.
func nextOfFindings(e *preflight.FailedError) string {
	return strings.Join(append(e.Next(), "nothing was written"), "\n")
}

var promoteEntries = []Entry{
	{
		ID: "PRO-021", Exit: ExitUsage, Match: As[*gitops.ForeignError](),
		Next: Text("name a folder that is empty or not there, or one that a promotion wrote"),
		Long: "promote --into keeps a folder: it writes what changed and removes what left the bundle. It knows its own folder by the first line of kustomization.yaml and changes no other.",
	},
	{
		ID: "PRO-022", Exit: ExitPrecondition, Match: As[*gitops.SecretError](),
		Next: Text("keep Secrets out of the bundle (External Secrets, Sealed Secrets, SOPS), or repeat with --with-secrets"),
		Long: "Files for Git are read by more people than Secrets of a cluster, and Git forgets nothing. So promote --into writes no Secret unasked.",
	},
	{
		ID: "PRO-023", Exit: ExitFailed, Match: As[*gitops.PushError](),
		Next: Text("docker login to the registry, then repeat the command"),
		Long: "A registry did not take the artifact with the files. The images with the code may have been pushed before; nothing refers to them yet.",
	},
	{
		ID: "PRO-020", Exit: ExitGate, Match: As[*DifferenceError](),
		Next: Text("what differs is on stdout; without --exit-code it is no failure"),
		Long: "diff --exit-code found differences. It is exit code 5, so that a script tells it from a comparison that could not be made.",
	},
	{
		ID: "PRO-001", Exit: ExitPrecondition, Match: As[*promote.SandboxTargetError](),
		Next: Text("set the environment's context in kubectl-ai.yaml to another cluster, or inSandbox: true where it is meant to be in this one"),
		Long: "A promotion into the cluster where the code is being edited would overwrite what dev runs there. Clusters are compared by address and by the UID of their kube-system namespace.",
	},
	{
		ID: "PRO-008", Exit: ExitPermission, Match: onlyAccess,
		Cause: From(func(e *preflight.FailedError) string {
			return "this grants what the bundle needs, and no more:\n" + strings.TrimRight(e.Role, "\n")
		}),
		Next: From(nextOfFindings),
		Long: "Before the first write a promotion asks for every permission that it needs: get, create and patch the bundle's kinds, watch its workloads and their pods, keep its record in ConfigMaps and Secrets and its lock in a Lease, delete what left the bundle, and hold the rules that Roles of the bundle grant. All that is missing is listed at once. kubectl ai rbac prints the Role, and its binding, that an administrator applies.",
	},
	{
		ID: "PRO-002", Exit: ExitPrecondition, Match: As[*preflight.FailedError](),
		Next: From(nextOfFindings),
		Long: "Before the first write a promotion asks whether the bundle can work on the target: kinds served, namespaces, permissions, sizes and names of objects, who manages them, what they refer to, queues, Pod Security, LimitRanges and quotas, GPUs and all else that nodes have free for every pod and for the whole gang, images, webhooks. All findings are listed at once; promote --dry-run -o json gives them as data.",
	},
	{
		ID: "PRO-003", Exit: ExitPrecondition, Match: As[*carrier.BaseError](),
		Next: From(func(e *carrier.BaseError) string { return "docker pull " + e.Image }),
		Long: "The runtime image is the bundle's own image, on which the code becomes a layer. It is looked up in its registry, then in the container engine of this machine.",
	},
	{
		ID: "PRO-004", Exit: ExitFailed, Match: As[*carrier.PushError](),
		Next: Text("docker login to the registry; for a sandbox: kubectl ai sandbox status"),
		Long: "The registry of the environment did not take the image. Nothing was applied.",
	},
	{
		ID: "PRO-005", Exit: ExitFailed, Match: As[*carrier.ChangedError](),
		Next: Text("repeat the command"),
		Long: "A file was saved between the moment the tree was hashed and the moment it was packaged. Nothing was applied.",
	},
	{
		ID: "PRO-006", Exit: ExitPrecondition, Match: As[*release.NotFoundError](),
		Next: Text("kubectl ai history --to ENVIRONMENT"),
		Long: "The environment's namespace holds no such release of this project. The last ten are kept.",
	},
	{
		ID: "PRO-007", Exit: ExitFailed, Match: Is(promote.ErrEmpty),
		Next: Text("kubectl kustomize the overlay"),
		Long: "An empty bundle would remove everything that the current release owns; that is most likely a mistake.",
	},
	{
		ID: "PRO-009", Exit: ExitUsage, Match: As[*promote.NoContextError](),
		Next: From(func(e *promote.NoContextError) string {
			return fmt.Sprintf("set environments.%s.context in kubectl-ai.yaml, or give --context", e.Environment)
		}),
		Long: "A promotion goes to the context that the environment names, or to --context. The current context of the kubeconfig is never taken: it changes under one's hands.",
	},
	{
		ID: "PRO-010", Exit: ExitPrecondition, Match: As[*promote.UnreachableError](),
		Next: From(func(e *promote.UnreachableError) string { return "kubectl --context " + e.Context + " cluster-info" }),
		Long: "The API server of the environment's context does not answer. Nothing was written.",
	},
	{
		ID: "PRO-011", Exit: ExitUsage, Match: As[*carrier.NoRegistryError](),
		Next: From(func(e *carrier.NoRegistryError) string {
			return fmt.Sprintf("set environments.%[1]s.registry in kubectl-ai.yaml, or environments.%[1]s.codeFormat: configMap", e.Environment)
		}),
		Long: "With codeFormat layer or imageVolume the code becomes part of an image, which has to be pushed to a registry that the cluster pulls from. Code of a few MiB can go as ConfigMaps instead.",
	},
	{
		ID: "PRO-012", Exit: ExitPrecondition, Match: As[*carrier.PlatformError](),
		Next: Text("use a runtime image that exists for the nodes' architecture"),
		Long: "The runtime image is not made for the processors of the target's nodes.",
	},
	{
		ID: "PRO-013", Exit: ExitUsage, Match: As[*carrier.CoveredError](),
		Next: Text("mount the volume beside the code, or change code[].mountPath"),
		Long: "A volume that the bundle mounts at, or above, the place of the code would hide it in production.",
	},
	{
		ID: "PRO-014", Exit: ExitPrecondition, Match: As[*carrier.TooLargeError](),
		Next: Text("add what is no code to code[].ignore, or use codeFormat: layer with a registry"),
		Long: "The code goes as eight ConfigMaps at most, of 900 KiB each, and the pod template lists every file. Nothing was written.",
	},
	{
		ID: "PRO-015", Exit: ExitPrecondition, Match: As[*carrier.UnfitError](),
		Next: Text("rename or remove the file, or use the other codeFormat"),
		Long: "A ConfigMap holds no symbolic links, no names that begin with two dots and no file above 900 KiB; an image layer takes names that begin with .wh. for deletions.",
	},
	{
		ID: "PRO-016", Exit: ExitPrecondition, Match: Is(release.ErrConcurrent),
		Next: Text("kubectl ai history --to ENVIRONMENT, then repeat the command"),
		Long: "The pointer to the current release was written by somebody else after this promotion had read it. Of two promotions at once one stops.",
	},
	{
		ID: "PRO-070", Exit: ExitPrecondition, Match: As[*release.LockedError](),
		Next: From(func(e *release.LockedError) string {
			return fmt.Sprintf("kubectl ai history --to ENVIRONMENT, and repeat the command when %s is done", e.Holder.Who)
		}),
		Long: "One run of promote, rollback or uninstall writes to a project's namespace at a time. It holds a Lease, kubectl-ai-PROJECT, which it renews every 5 seconds. The Lease was renewed while this run looked at it, so the other one is alive. A run that died is followed 15 seconds after it was last seen. Nothing was written.",
	},
	{
		ID: "PRO-071", Exit: ExitFailed, Match: As[*release.LostError](),
		Next: Text("kubectl ai history --to ENVIRONMENT, then repeat the command"),
		Long: "The run could not renew its lock for 10 seconds, or somebody deleted or took it, and stopped writing before another run could begin. What it had applied is in the inventory; the next run goes on from there.",
	},
	{
		ID: "PRO-072", Exit: ExitPrecondition, Match: As[*release.NewerError](),
		Next: Text("upgrade kubectl-ai; kubectl ai version says which one this is"),
		Long: "The record in the namespace was written by a newer kubectl-ai, in a format that this one does not know. Guessing could lose a part of it. Nothing was written.",
	},
	{
		ID: "PRO-073", Exit: ExitFailed, Match: As[*release.DamagedError](),
		Next: From(func(e *release.DamagedError) string {
			if e.Revision > 0 {
				return "kubectl ai history --to ENVIRONMENT, and choose another release"
			}
			return "kubectl delete --cascade=orphan " + strings.ToLower(e.Object) + ", then promote: the inventory is made again from the current release"
		}),
		Long: "What is recorded in the namespace cannot be read: it was changed or cut by something else. Other releases are not concerned. When it is the ConfigMap with the inventory, it is made again from the Secrets of the releases once it is deleted; --cascade=orphan keeps those.",
	},
	{
		ID: "PRO-075", Exit: ExitUsage, Match: As[*promote.CarrierError](),
		Next: From(func(e *promote.CarrierError) string {
			return fmt.Sprintf("set environments.%s.codeFormat: %s in kubectl-ai.yaml, or promote without --from", e.To, e.Form)
		}),
		Long: "promote --from takes a release to another environment without packaging anything. That needs one codeFormat in both. Nothing was written.",
	},
	{
		ID: "PRO-076", Exit: ExitPrecondition, Match: As[*carrier.NotReleasedError](),
		Next: Text("kubectl ai show --to the environment of --from; or promote without --from"),
		Long: "promote --from found that the release of the other environment does not hold what the target's overlay needs: an image for each container that runs the code, or the code that its record names. Nothing was written.",
	},
	{
		ID: "PRO-077", Exit: ExitPrecondition, Match: As[*canary.RouteError](),
		Next: Text("kubectl ai catalog show route; or promote --no-canary"),
		Long: `The environment's canary names an HTTPRoute that gives the pods of a served workload
their traffic. A rule of it has two Services of its namespace: the stable one, and one of
weight 0 whose selector has a label that the stable one's has with another value. One
Deployment is behind the stable Service; the canary is a copy of it with the next pods,
under the labels of the other Service. Nothing was written.`,
	},
	{
		ID: "PRO-078", Exit: ExitPrecondition, Match: As[*promote.SharedConfigError](),
		Next: Text("let kustomize's configMapGenerator or secretGenerator make it, so that its name changes with it; or promote --no-canary"),
		Long: "The pods of a canary run beside those that they may replace. An object that both read and that changes with the release under its name would change for the pods that run as well, before anything was tried. Nothing was written.",
	},
	{
		ID: "PRO-025", Exit: ExitFailed, Match: As[*promote.MetricError](),
		Next: Text("kubectl ai rollback --to ENVIRONMENT brings the former release back; --atomic does so by itself"),
		Long: `With --until metric a release is up when its code has reported every metric of
kubectl-ai.yaml that has a threshold, and meets it, by lines such as
  {"metrics": [{"name": "accuracy", "value": 0.97}]}
on standard output. The last report of the lowest rank counts. The run ended without,
or what it reported is not a number, so waiting longer does not help.`,
	},
	{
		ID: "PRO-024", Exit: ExitPrecondition, Match: As[*promote.NotSuspendableError](),
		Next: Text("--replace after-finish, or --replace kill"),
		Long: "--replace suspend holds back earlier runs that have not ended, by the field that their kind has for it. Some cannot be held back so: a Volcano Job, which has no such field; a RayJob that keeps its cluster; and what Kueue queues, because Kueue lets it go on. Nothing was written.",
	},
	{
		ID: "PRO-074", Exit: ExitPrecondition, Match: As[*promote.PruneLimitError](),
		Next: From(func(e *promote.PruneLimitError) string {
			return fmt.Sprintf("kubectl ai render -e ENVIRONMENT -o name; if they are meant to go, --prune-max %d", e.Needed())
		}),
		Long: "More than 30 percent of the objects of the release, and more than three, are not in the bundle any more. That is most often an overlay that lost a resource. Objects that gave way to their next generation (a Job, its code, a generated ConfigMap) and those named by --prune-also do not count. Nothing was written.",
	},
	{
		ID: "PRO-017", Exit: ExitFailed, Match: As[*promote.PruneError](),
		Next: Text("repeat the command when the cause is mended"),
		Long: "The release is deployed. Some objects that left the bundle could not be deleted; they stay in the inventory and are tried again.",
	},
	{
		ID: "PRO-018", Exit: ExitPrecondition, Match: As[*release.TooLargeError](),
		Next: Text("split the bundle into two projects"),
		Long: "A release keeps its manifests in Secrets, 256 MiB of them, so that a rollback needs nothing else. Nothing was written.",
	},
	{
		ID: "PRO-019", Exit: ExitPrecondition, Match: As[*promote.NeverDeployedError](),
		Next: Text("kubectl ai history --to ENVIRONMENT, and choose one that was deployed"),
		Long: "A release that never came up is nothing to go back to.",
	},
	{
		ID: "PRO-040", Exit: ExitGate, Match: As[*evidence.UnprovenError](),
		Next: Text("kubectl ai dev, until all ranks run it, or kubectl ai run --wait; or promote --unproven"),
		Long: `What goes to production is a generation that every rank of the sandbox proved to run:
it hashed the files on its own disk and named its process. The journal on this machine
keeps receipts and contents. A run that ended well (kubectl ai run) proves its code too.
Code that was changed since, or that only some ranks got, has no such proof. --unproven promotes it all the same, and the record of the release says so.
Nothing was written.`,
	},
	{
		ID: "PRO-041", Exit: ExitGate, Match: As[*evidence.RuntimeError](),
		Next: Text("run dev with production's runtime image; or promote --other-runtime"),
		Long: `The runtime image brings Python, torch and CUDA's libraries. The image that the ranks
ran in and the one that production gets are compared by digest: that of an index, of a
manifest, or of the configuration for what was loaded into a sandbox and never was in a
registry. --other-runtime promotes to another one, such as one for other GPUs, and the
record of the release says so. Nothing was written.`,
	},
	{
		ID: "PRO-042", Exit: ExitPrecondition, Match: As[*carrier.NoImageVolumesError](),
		Next: Text("codeFormat: layer, or a list such as [imageVolume, layer], which takes the first that the cluster can"),
		Long: `The API server was asked by a dry run to admit the bundle's own workloads with an image
as a volume (KEP-4639): where the feature is off it drops the field. Nodes need containerd
2.1 or CRI-O 1.31. Nothing was written.`,
	},
	{
		ID: "PRO-043", Exit: ExitPrecondition, Match: As[*carrier.WrittenError](),
		Next: Text("have the program write elsewhere, such as into a volume; or codeFormat: layer"),
		Long: "imageVolume and configMap mount the code read-only. Under dev a program may write beside its code, and this one did since it was started. Nothing was written.",
	},
	{
		ID: "PRO-044", Exit: ExitPrecondition, Match: As[*carrier.UnaskedError](),
		Next: Text("kubectl ai dev; or codeFormat: layer"),
		Long: "imageVolume and configMap mount the code read-only. The ranks of the sandbox are asked whether their programs write beside the code, and none answered. Nothing was written.",
	},
	{
		ID: "PRO-045", Exit: ExitGate, Match: As[*carrier.HiddenError](),
		Next: Text("declare them in kubectl-ai.yaml, such as code: [{path: src, hides: [.venv/]}], or move them elsewhere in the image"),
		Long: `The runtime image has files where the code goes. Under dev a volume lies over them, and
every codeFormat hides them in production too; so the program never saw them. What is
built into an image is mostly meant to be used: a .venv, a compiled extension. Files that
the code itself brings under the same path are not listed. Nothing was written.`,
	},
	{
		ID: "PRO-046", Exit: ExitPrecondition, Match: As[*carrier.UnableError](),
		Next: Text("set environments.<name>.registry in kubectl-ai.yaml; each way says what it lacks"),
		Long: "codeFormat names the ways that the code may go: layer and imageVolume need a registry, configMap holds a few MiB. None of them fits here. Nothing was written.",
	},
	{
		ID: "PRO-047", Exit: ExitGate, Match: As[*AlteredError](),
		Next: Text("kubectl ai history --to ENVIRONMENT, then promote or rollback to bring it back"),
		Long: `Something in the environment is not what the current release brought: an image in a live
object or in a node, bytes in the registry, the content of a ConfigMap. Each is listed.
Bytes of an image that changed in a registry are refused by nodes, which check digests; a
promotion pushes nothing that the registry says it has, so such a blob has to be deleted
there first.`,
	},
	{
		ID: "PRO-080", Exit: ExitUsage, Match: As[*attest.KeyError](),
		Next: From(func(e *attest.KeyError) string {
			if e.Next == "" {
				return "openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out key.pub"
			}
			if strings.Contains(e.Next, "%s") {
				return fmt.Sprintf(e.Next, e.Path)
			}
			return e.Next
		}),
		Long: "promote --sign-key wants a private key as PEM in PKCS#8, without a passphrase; verify --key and the signature gates of kubectl-ai.yaml want public ones. Keys are ECDSA on P-256 or Ed25519. Nothing was written.",
	},
	{
		ID: "APPLY-006", Exit: ExitPrecondition, Match: As[*apply.ImmutableError](),
		Next: From(func(e *apply.ImmutableError) string {
			return fmt.Sprintf("give it another name in the bundle, or: kubectl delete %s %s", e.Ref.Kind, e.Ref.Name)
		}),
		Long: "Kubernetes does not change this field of a live object. Nothing is deleted and made anew unasked. Jobs do not meet this: another template is another Job.",
	},
	{
		ID: "APPLY-008", Exit: ExitFailed, Match: Is(apply.ErrResumed),
		Next: Text("see who manages it: kubectl get --show-managed-fields -o yaml; then repeat with --replace kill or after-finish"),
		Long: "--replace suspend held an earlier run back, and something let it go on before its pods had ended, such as a queue that manages all Jobs. The next run was not begun, because it could find no place.",
	},
	{
		ID: "APPLY-007", Exit: ExitTimeout, Match: As[*apply.TimeoutError](),
		Next: Text("kubectl get pods,events; or repeat the command with a longer --timeout"),
		Long: "The workloads were applied and were not all there when the time ran out. What was missing is named.",
	},
}
