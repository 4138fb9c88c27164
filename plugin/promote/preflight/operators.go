package preflight

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// operator is a project that brings kinds.
type operator struct{ name, url string }

// operators maps API groups to who brings them. kubeflow.org is shared by
// several projects; operatorKinds tells them apart.
var operators = map[string]operator{
	"jobset.x-k8s.io":               {"JobSet", "https://github.com/kubernetes-sigs/jobset"},
	"leaderworkerset.x-k8s.io":      {"LeaderWorkerSet", "https://github.com/kubernetes-sigs/lws"},
	"kueue.x-k8s.io":                {"Kueue", "https://github.com/kubernetes-sigs/kueue"},
	"trainer.kubeflow.org":          {"Kubeflow Trainer", "https://github.com/kubeflow/trainer"},
	"kubeflow.org":                  {"the Kubeflow Training Operator v1", "https://github.com/kubeflow/trainer/tree/release-1.9"},
	"ray.io":                        {"KubeRay", "https://github.com/ray-project/kuberay"},
	"batch.volcano.sh":              {"Volcano", "https://github.com/volcano-sh/volcano"},
	"scheduling.volcano.sh":         {"Volcano", "https://github.com/volcano-sh/volcano"},
	"serving.kserve.io":             {"KServe", "https://github.com/kserve/kserve"},
	"inference.networking.k8s.io":   {"the Gateway API Inference Extension", "https://github.com/kubernetes-sigs/gateway-api-inference-extension"},
	"inference.networking.x-k8s.io": {"the Gateway API Inference Extension", "https://github.com/kubernetes-sigs/gateway-api-inference-extension"},
	"gateway.networking.k8s.io":     {"the Gateway API", "https://gateway-api.sigs.k8s.io"},
	"networking.istio.io":           {"Istio", "https://istio.io"},
	"security.istio.io":             {"Istio", "https://istio.io"},
	"telemetry.istio.io":            {"Istio", "https://istio.io"},
	"kafka.strimzi.io":              {"Strimzi", "https://strimzi.io"},
	"sparkoperator.k8s.io":          {"the Spark operator", "https://github.com/kubeflow/spark-operator"},
	"monitoring.coreos.com":         {"the Prometheus operator", "https://prometheus-operator.dev"},
	"ceph.rook.io":                  {"Rook", "https://rook.io"},
	"objectbucket.io":               {"Rook", "https://rook.io"},
	"external-secrets.io":           {"External Secrets", "https://external-secrets.io"},
	"bitnami.com":                   {"Sealed Secrets", "https://github.com/bitnami-labs/sealed-secrets"},
	"cert-manager.io":               {"cert-manager", "https://cert-manager.io"},
	"keda.sh":                       {"KEDA", "https://keda.sh"},
	"argoproj.io":                   {"an Argo project", "https://argoproj.github.io"},
	"kustomize.toolkit.fluxcd.io":   {"Flux", "https://fluxcd.io"},
	"source.toolkit.fluxcd.io":      {"Flux", "https://fluxcd.io"},
	"helm.toolkit.fluxcd.io":        {"Flux", "https://fluxcd.io"},
	"nvidia.com":                    {"the NVIDIA GPU operator", "https://github.com/NVIDIA/gpu-operator"},
	"resource.nvidia.com":           {"the NVIDIA DRA driver", "https://github.com/NVIDIA/k8s-dra-driver-gpu"},
	"nfd.k8s-sigs.io":               {"Node Feature Discovery", "https://github.com/kubernetes-sigs/node-feature-discovery"},
	"snapshot.storage.k8s.io":       {"the CSI snapshotter", "https://github.com/kubernetes-csi/external-snapshotter"},
	"scheduling.x-k8s.io":           {"the coscheduling plugin", "https://github.com/kubernetes-sigs/scheduler-plugins"},
	"karpenter.sh":                  {"Karpenter", "https://karpenter.sh"},
	"serving.knative.dev":           {"Knative Serving", "https://knative.dev"},
	"postgresql.cnpg.io":            {"CloudNativePG", "https://cloudnative-pg.io"},
	"k8s.cni.cncf.io":               {"Multus", "https://github.com/k8snetworkplumbingwg/multus-cni"},
	"resource.k8s.io":               {"Kubernetes itself (dynamic resource allocation, stable in 1.34)", "https://kubernetes.io/docs"},
	"autoscaling.k8s.io":            {"the Vertical Pod Autoscaler", "https://github.com/kubernetes/autoscaler"},
	"longhorn.io":                   {"Longhorn", "https://longhorn.io"},
	"secrets.hashicorp.com":         {"the Vault operator", "https://github.com/hashicorp/vault-secrets-operator"},
	"secrets-store.csi.x-k8s.io":    {"the Secrets Store CSI driver", "https://secrets-store-csi-driver.sigs.k8s.io"},
}

// operatorKinds overrides operators where a group has several.
var operatorKinds = map[schema.GroupKind]operator{
	{Group: "kubeflow.org", Kind: "Experiment"}:    {"Katib", "https://github.com/kubeflow/katib"},
	{Group: "kubeflow.org", Kind: "Suggestion"}:    {"Katib", "https://github.com/kubeflow/katib"},
	{Group: "kubeflow.org", Kind: "Trial"}:         {"Katib", "https://github.com/kubeflow/katib"},
	{Group: "kubeflow.org", Kind: "Notebook"}:      {"Kubeflow Notebooks", "https://github.com/kubeflow/notebooks"},
	{Group: "kubeflow.org", Kind: "Profile"}:       {"the Kubeflow dashboard", "https://github.com/kubeflow/dashboard"},
	{Group: "argoproj.io", Kind: "Application"}:    {"Argo CD", "https://argo-cd.readthedocs.io"},
	{Group: "argoproj.io", Kind: "ApplicationSet"}: {"Argo CD", "https://argo-cd.readthedocs.io"},
	{Group: "argoproj.io", Kind: "Rollout"}:        {"Argo Rollouts", "https://argoproj.github.io/rollouts"},
	{Group: "argoproj.io", Kind: "Workflow"}:       {"Argo Workflows", "https://argoproj.github.io/workflows"},
}

// operatorOf returns who brings a kind; false for nobody that we know.
func operatorOf(gk schema.GroupKind) (operator, bool) {
	if o, ok := operatorKinds[gk]; ok {
		return o, true
	}
	o, ok := operators[gk.Group]
	if !ok && strings.HasSuffix(gk.Group, ".toolkit.fluxcd.io") {
		return operators["source.toolkit.fluxcd.io"], true
	}
	return o, ok
}
