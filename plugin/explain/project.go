package explain

import (
	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

var projectEntries = []Entry{
	{
		ID: "PRJ-001", Exit: ExitUsage, Match: As[*project.FileError](),
		Next: Text("correct the line; the fields are listed by: kubectl ai explain PRJ-001"),
		Long: `kubectl-ai.yaml is strict: an unknown field is an error with its line, so that a
typing mistake never turns a setting off in silence. The fields are:
  apiVersion: kubectl-ai.dev/v1alpha1
  kind: Project
  metadata: {name}
  code: [{path, mountPath, targets, ignore, hides}]
  remoteBases: true|false
  metrics: [{name, goal: maximize|minimize, threshold, dataset: {name, seed}}]
  data: {schema: {columns: [{name, type: number|integer|string|boolean|array, length, min, max, required}]},
    labels: [LABELS], split: {heldOut, seed}}
  environments: {NAME: {overlay, context, clusterUID, namespace, inSandbox, codeFormat, registry, gates,
    clusters: [{name, context, uid}], waves: [{clusters, parallelism, soak, gates}], onFailure: rollback|stop,
    canary: {route, steps: [{weight, soak, gates}]}}}
  gates: [{metric, from} or {validation: {from}} or {command, timeout} or {signature: {keys}}
    or {approval: NUMBER or [NAMES]}]
  reload: {stopSignal, gracePeriod, preload, policies: [{paths, action, signal}], checkpoint: {path, signal, timeout}}
  agent: {image}`,
	},
	{
		ID: "PRJ-002", Exit: ExitUsage, Match: As[*project.UnknownEnvironmentError](),
		Next: Text("name one of them, or add it under environments: in kubectl-ai.yaml"),
		Long: "An environment is an overlay, a context and a namespace under one name. Overlays that exist as folders under overlays/ are environments without being declared.",
	},
	{
		ID: "PRJ-003", Exit: ExitUsage, Match: As[*bundle.RenderError](),
		Next: From(func(e *bundle.RenderError) string { return "kubectl kustomize " + e.Dir }),
		Long: "kustomize could not build the overlay. kubectl kustomize prints the same error: the bundle is an ordinary kustomize tree.",
	},
	{
		ID: "PRJ-006", Exit: ExitUsage, Match: As[*bundle.RemoteError](),
		Next: Text("copy it into the bundle, or allow it: remoteBases: true in kubectl-ai.yaml"),
		Long: "What a bundle fetches from other machines can be another thing tomorrow, and needs a network at every render. So it is fetched only when the project file says so; pin it by a commit then.",
	},
	{
		ID: "PRJ-004", Exit: ExitUsage, Match: As[*workload.NoTargetError](),
		Next: Text("set workingDir on the container, or name it under code[].targets in kubectl-ai.yaml"),
		Long: "Code goes to every container whose workingDir is the code's mountPath, or to those that code[].targets names as Kind/name or Kind/name/container. None was found.",
	},
	{
		ID: "PRJ-005", Exit: ExitUsage, Match: As[*project.NoCodeError](),
		Next: Text("point code[].path in kubectl-ai.yaml at the folder with the training code"),
		Long: "The folder that holds the code does not exist, or is no folder.",
	},
	{
		ID: "PRJ-007", Exit: ExitUsage, Match: As[*bundle.NamespaceError](),
		Next: From(func(e *bundle.NamespaceError) string {
			return "repeat it with -n " + e.Namespace + "; or delete the line namespace: " + e.Namespace + " from the overlay's kustomization.yaml, so that the bundle goes anywhere"
		}),
		Long: `A namespace is decided as kubectl decides it: -n, else environments.<name>.namespace of
kubectl-ai.yaml, else the overlay's, else that of the kubeconfig's context, else default.
An object that names its own is not moved: kubectl apply -n refuses one that names
another, and so does this. What is to follow -n and the context names none.`,
	},
}
