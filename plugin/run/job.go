package run

import (
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// gpuResource is what --gpus means where the bundle names no GPU.
const gpuResource = "nvidia.com/gpu"

// Spec is what a run changes of its workload.
type Spec struct {
	Ranks      int // 0: as the bundle says
	GPUs       int // of each rank; negative: as the bundle says
	Parameters map[string]string
}

// Stage returns the workload of a stage, with those of its containers that get
// the code, or a *StageError. A bundle that labels no stages trains with its
// only Job.
func Stage(objects []*unstructured.Unstructured, targets []workload.Target, stage string) (*unstructured.Unstructured, error) {
	var found []*unstructured.Unstructured
	known := &StageError{Stage: stage}
	for _, obj := range objects {
		label := obj.GetLabels()[StageLabel]
		if label != "" && !slices.Contains(known.Known, label) {
			known.Known = append(known.Known, label)
		}
		if label == stage && (obj.GetKind() == "Job" || obj.GetKind() == "CronJob" || getsCode(obj, targets)) {
			found = append(found, obj)
		}
	}
	if len(found) == 0 && stage == StageTrain {
		for _, obj := range objects {
			if obj.GetKind() == "Job" && obj.GetLabels()[StageLabel] == "" && getsCode(obj, targets) {
				found = append(found, obj)
			}
		}
	}
	for _, obj := range found {
		known.Found = append(known.Found, workload.Name(obj))
	}
	if len(found) != 1 {
		return nil, known
	}
	if _, ok := workload.JobOf(found[0]); !ok || !getsCode(found[0], targets) {
		return nil, known
	}
	return found[0], nil
}

func getsCode(obj *unstructured.Unstructured, targets []workload.Target) bool {
	return slices.ContainsFunc(targets, func(t workload.Target) bool { return t.Object == obj })
}

// MakeJob makes the Job of a run out of the workload of its stage, and returns its
// containers that get the code, to be given it. The Job is suspended.
func (r *Record) MakeJob(from *unstructured.Unstructured, targets []workload.Target, s Spec) (*unstructured.Unstructured, []workload.Target, error) {
	job, ok := workload.JobOf(from)
	if !ok {
		return nil, nil, &StageError{Stage: r.Stage, Found: []string{workload.Name(from)}}
	}
	templates, err := workload.Templates(job)
	if err != nil {
		return nil, nil, err
	}
	if len(templates) != 1 {
		return nil, nil, &StageError{Stage: r.Stage, Found: []string{workload.Name(from)}}
	}
	t := templates[0]
	if s.Ranks > 0 {
		if err := workload.SetRanks(job, s.Ranks); err != nil {
			return nil, nil, err
		}
	}
	var own []workload.Target
	var names []string
	for _, c := range t.Containers() {
		for _, target := range targets {
			if target.Object == from && target.Container.Name() == c.Name() {
				own = append(own, workload.Target{Template: t, Container: c, MountPath: target.MountPath})
				names = append(names, c.Name())
			}
		}
	}
	for _, target := range own {
		for name, value := range s.Parameters {
			target.Container.SetVariable(name, value)
		}
		if s.GPUs >= 0 {
			target.Container.SetLimit(gpuOf(target.Container), strconv.Itoa(s.GPUs))
		}
	}
	workload.NumberRanks(own)
	r.Ranks, r.Workload = workload.Replicas(t), workload.Name(from)
	r.Job = r.jobName(from.GetName())
	r.mark(job, t, names)
	return job, own, nil
}

// gpuOf is the resource by which a container asks for GPUs.
func gpuOf(c workload.Container) string {
	for _, name := range c.Limits() {
		if strings.HasSuffix(name, "/gpu") {
			return name
		}
	}
	return gpuResource
}

// nameLimit is what a label value and a host name may have (RFC 1123).
const nameLimit = 63

// jobName is <workload>-<id>, the first cut so that host names of ranks fit.
func (r *Record) jobName(base string) string {
	suffix := "-" + r.ID
	room := nameLimit - len(suffix) - len("-") - len(strconv.Itoa(r.Ranks))
	return strings.TrimRight(base[:min(len(base), room)], "-.") + suffix
}

// mark gives the Job and its pods their name and labels, and takes from the
// Job what would remove it before its record is whole.
func (r *Record) mark(job *unstructured.Unstructured, t workload.Template, containers []string) {
	labels := job.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	add := map[string]string{IDLabel: r.ID, StageLabel: r.Stage, ProjectLabel: r.Project}
	if r.Matrix != "" {
		add[MatrixLabel] = r.Matrix
	}
	for name, value := range add {
		labels[name] = value
		t.Label(name, value)
	}
	job.SetLabels(labels)
	job.SetName(r.Job)
	job.SetNamespace(r.Namespace)
	t.Annotate(ContainersAnnotation, strings.Join(containers, ","))
	t.Annotate(DigestAnnotation, r.CodeDigest)
	_ = unstructured.SetNestedField(job.Object, true, "spec", "suspend")
	unstructured.RemoveNestedField(job.Object, "spec", "ttlSecondsAfterFinished")
}

// Own makes the Job belong to its record.
func Own(job *unstructured.Unstructured, owner metav1.OwnerReference) {
	job.SetOwnerReferences([]metav1.OwnerReference{owner})
}
