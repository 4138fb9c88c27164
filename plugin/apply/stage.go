package apply

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Stage says when an object is applied; the objects of a stage go together.
type Stage int

// The stages in order. A stage begins when all objects of the one before are
// written, and, for CRDs, served.
const (
	StageNamespaces Stage = iota
	StageCRDs
	StageConfig    // accounts, RBAC, quotas, classes, ConfigMaps, Secrets
	StageNetwork   // Services, volumes, and kinds that we know nothing of
	StageWorkloads // what makes pods
	StageJobs      // what runs once, when all it needs is there
)

var stageNames = [...]string{"namespaces", "CRDs", "configuration", "services and volumes", "workloads", "jobs"}

func (s Stage) String() string { return stageNames[s] }

var stages = map[string]Stage{
	"/Namespace": StageNamespaces,
	"apiextensions.k8s.io/CustomResourceDefinition": StageCRDs,

	"/ServiceAccount": StageConfig, "/ConfigMap": StageConfig, "/Secret": StageConfig,
	"/ResourceQuota": StageConfig, "/LimitRange": StageConfig,
	"scheduling.k8s.io/PriorityClass": StageConfig, "storage.k8s.io/StorageClass": StageConfig, "node.k8s.io/RuntimeClass": StageConfig,

	"/Pod": StageWorkloads, "/ReplicationController": StageWorkloads,
	"apps/Deployment": StageWorkloads, "apps/StatefulSet": StageWorkloads, "apps/DaemonSet": StageWorkloads, "apps/ReplicaSet": StageWorkloads,
	"batch/CronJob": StageWorkloads, "ray.io/RayCluster": StageWorkloads,
	"leaderworkerset.x-k8s.io/LeaderWorkerSet": StageWorkloads, "serving.kserve.io/InferenceService": StageWorkloads,

	"batch/Job": StageJobs, "jobset.x-k8s.io/JobSet": StageJobs, "kubeflow.org/PyTorchJob": StageJobs,
	"ray.io/RayJob": StageJobs, "trainer.kubeflow.org/TrainJob": StageJobs, "batch.volcano.sh/Job": StageJobs,
}

// StageOf returns the stage of a kind.
func StageOf(r Ref) Stage {
	if r.Group == "rbac.authorization.k8s.io" {
		return StageConfig
	}
	if s, ok := stages[r.Group+"/"+r.Kind]; ok {
		return s
	}
	return StageNetwork
}

// Sort orders objects by stage and keeps the order inside a stage.
func Sort(objects []*unstructured.Unstructured) {
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return int(StageOf(RefOf(a)) - StageOf(RefOf(b)))
	})
}

// makesPods says whether objects of a kind start processes.
func makesPods(r Ref) bool { return StageOf(r) >= StageWorkloads }
