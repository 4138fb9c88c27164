package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplicasOfEachKind(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[string]int // by path
	}{
		{"Job", `{apiVersion: batch/v1, kind: Job, spec: {parallelism: 4, completions: 3, template: ` + pod + `}}`, map[string]int{"spec.template": 3}},
		{"Job of one", `{apiVersion: batch/v1, kind: Job, spec: {template: ` + pod + `}}`, map[string]int{"spec.template": 1}},
		{"Deployment", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 5, template: ` + pod + `}}`, map[string]int{"spec.template": 5}},
		{"Volcano's Job", `{apiVersion: batch.volcano.sh/v1alpha1, kind: Job, spec: {tasks: [{replicas: 3, template: ` + pod + `}, {template: ` + pod + `}]}}`, map[string]int{"spec.tasks[0].template": 3, "spec.tasks[1].template": 1}},
		{"InferenceService", `{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, spec: {predictor: {minReplicas: 2, containers: []}}}`, map[string]int{"spec.predictor": 2}},
		{
			"JobSet", `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, spec: {replicatedJobs: [{name: a, template: {spec: {template: ` + pod + `}}}, {name: b, replicas: 2, template: {spec: {parallelism: 4, completions: 4, template: ` + pod + `}}}]}}`,
			map[string]int{"spec.replicatedJobs[0].template.spec.template": 1, "spec.replicatedJobs[1].template.spec.template": 8},
		},
		{
			"PyTorchJob", `{apiVersion: kubeflow.org/v1, kind: PyTorchJob, spec: {pytorchReplicaSpecs: {Master: {replicas: 1, template: ` + pod + `}, Worker: {replicas: 3, template: ` + pod + `}}}}`,
			map[string]int{"spec.pytorchReplicaSpecs.Master.template": 1, "spec.pytorchReplicaSpecs.Worker.template": 3},
		},
		{
			"RayCluster", `{apiVersion: ray.io/v1, kind: RayCluster, spec: {headGroupSpec: {template: ` + pod + `}, workerGroupSpecs: [{replicas: 2, numOfHosts: 4, template: ` + pod + `}]}}`,
			map[string]int{"spec.headGroupSpec.template": 1, "spec.workerGroupSpecs[0].template": 8},
		},
		{
			"LeaderWorkerSet", `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, spec: {replicas: 2, leaderWorkerTemplate: {size: 4, leaderTemplate: ` + pod + `, workerTemplate: ` + pod + `}}}`,
			map[string]int{"spec.leaderWorkerTemplate.leaderTemplate": 2, "spec.leaderWorkerTemplate.workerTemplate": 6},
		},
		{
			"LeaderWorkerSet of one template", `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, spec: {replicas: 2, leaderWorkerTemplate: {size: 4, workerTemplate: ` + pod + `}}}`,
			map[string]int{"spec.leaderWorkerTemplate.workerTemplate": 8},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			templates, err := Templates(object(t, c.text))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, tmpl := range templates {
				got[tmpl.Path] = Replicas(tmpl)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
