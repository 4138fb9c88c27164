package run

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Released is the carrier of a run that somebody else started, from what a
	// release or whoever else put there.
	Released = "release"
	// CauseAnnotation says on a Job what started it, such as "alert ModelDrift".
	CauseAnnotation = "kubectl-ai.dev/cause"
	// releasedContainers is the annotation by which pods of a release name the
	// containers that run the code, where those of a run have
	// ContainersAnnotation.
	releasedContainers = "kubectl-ai.dev/code-containers"
)

// Adopt writes records for the runs of a project that others started: Jobs
// with a run's ID and without a record, such as those that an alert's receiver
// makes from a CronJob. It returns the new records. Who may not write adopts
// nothing.
func (s *Store) Adopt(ctx context.Context, project, kubeContext string, known []Record) ([]Record, error) {
	jobs, err := s.Client.BatchV1().Jobs(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: IDLabel})
	if err != nil {
		return nil, fmt.Errorf("list the Jobs of runs in namespace %s: %w", s.Namespace, err)
	}
	var adopted []Record
	for i := range jobs.Items {
		job := &jobs.Items[i]
		id := job.Labels[IDLabel]
		if slices.ContainsFunc(known, func(r Record) bool { return r.ID == id }) || job.Spec.Template.Labels[ProjectLabel] != project ||
			job.DeletionTimestamp != nil || len(job.OwnerReferences) > 0 && job.OwnerReferences[0].Kind == "ConfigMap" {
			continue // its own record is on the way, or goes
		}
		r := found(job, project, kubeContext)
		_, err := s.Create(ctx, &r)
		switch {
		case apierrors.IsAlreadyExists(err):
			continue // somebody else who looks was faster
		case apierrors.IsForbidden(err):
			return adopted, nil
		case err != nil:
			return adopted, err
		}
		adopted = append(adopted, r)
	}
	return adopted, nil
}

// found is what a Job says of the run that it is.
func found(job *batchv1.Job, project, kubeContext string) Record {
	pod := job.Spec.Template
	workload, stage := "Job/"+job.Name, StageTrain
	if owner := metav1.GetControllerOf(job); owner != nil {
		workload, stage = owner.Kind+"/"+owner.Name, owner.Name
	}
	r := Record{
		ID: job.Labels[IDLabel], Project: project, Stage: cmp.Or(job.Labels[StageLabel], pod.Labels[StageLabel], stage), Workload: workload,
		Namespace: job.Namespace, Job: job.Name, Who: cmp.Or(job.Annotations[CauseAnnotation], "unknown"), Context: kubeContext,
		CodeDigest: pod.Annotations[DigestAnnotation], Carrier: Released, Ranks: int(ranksOf(job)),
	}
	for _, c := range pod.Spec.Containers {
		for name, quantity := range c.Resources.Requests {
			if r.Requests == nil {
				r.Requests = map[string]string{}
			}
			r.Requests[string(name)] = quantity.String()
		}
	}
	return r
}

func ranksOf(job *batchv1.Job) int32 {
	ranks := int32(1)
	if p := job.Spec.Parallelism; p != nil {
		ranks = *p
	}
	if c := job.Spec.Completions; c != nil {
		ranks = min(ranks, *c)
	}
	return ranks
}

// CodeContainers is the annotation by which a pod names the containers that
// run the code.
func CodeContainers(pod *corev1.Pod) string {
	if pod.Annotations[ContainersAnnotation] == "" {
		return releasedContainers
	}
	return ContainersAnnotation
}
