package retrain

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// LabelRun is the id of the run that a Job is.
	LabelRun = "kubectl-ai.dev/run"
	// AnnotationCause says what started a run, for example "alert ModelDrift".
	AnnotationCause = "kubectl-ai.dev/cause"
	// annotationManual is set by kubectl create job --from.
	annotationManual = "cronjob.kubernetes.io/instantiate"
)

// NewJob is the Job of a run from a CronJob's template, as `kubectl create job
// --from` makes it: the CronJob owns it, keeps as many as its history limits
// say, and is not blocked by it.
func NewJob(from *batchv1.CronJob, id, cause string) *batchv1.Job {
	labels := map[string]string{}
	maps.Copy(labels, from.Spec.JobTemplate.Labels)
	labels[LabelRun] = id
	annotations := map[string]string{annotationManual: "manual"}
	maps.Copy(annotations, from.Spec.JobTemplate.Annotations)
	annotations[AnnotationCause] = cause
	controls := true
	job := &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{
			Name: jobName(from.Name, id), Namespace: from.Namespace, Labels: labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "CronJob", Name: from.Name, UID: from.UID, Controller: &controls,
			}},
		},
		Spec: *from.Spec.JobTemplate.Spec.DeepCopy(),
	}
	pod := &job.Spec.Template
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[LabelRun] = id
	return job
}

// maxPrefix keeps the hostname of an Indexed Job's pod, NAME-INDEX, within the
// 63 characters of a DNS label (63 - 1 for the dash - 10 of the id - 6 of the
// index).
const maxPrefix = 46

func jobName(cron, id string) string { return cron[:min(len(cron), maxPrefix)] + "-" + id }

// runID is the same for the same key, ten characters of its hash.
func runID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:5])
}

// busy returns the Job because of which no other is made now, and why.
func busy(from *batchv1.CronJob, jobs []batchv1.Job, coolDown time.Duration, now time.Time) (job, why string) {
	for _, j := range jobs {
		if !metav1.IsControlledBy(&j, from) {
			continue
		}
		if !finished(&j) {
			return j.Name, "it has not finished"
		}
		if now.Sub(j.CreationTimestamp.Time) < coolDown {
			return j.Name, "it was made less than " + coolDown.String() + " ago"
		}
	}
	return "", ""
}

func finished(j *batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
