package promote

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// runKind is what has to be known of a kind that runs to completion to give
// each generation of it a name of its own.
type runKind struct {
	// mutable are the fields of its spec that may change while it is there;
	// they do not make another run.
	mutable []string
	// labels are those by which its controller marks pods with its name.
	labels []string
	// room is how many characters its controller appends to its name.
	room func(obj *unstructured.Unstructured) int
	// host is what follows its name in the host names of its pods, as a
	// regular expression; "" where nobody needs them.
	host string
	// domain says that its pods' subdomain is its name too, unless the object
	// names one in this field of its spec ("-": it cannot).
	domain string
}

// dns is the middle of a DNS label.
const dns = `[a-z0-9](?:[-a-z0-9]*[a-z0-9])?`

var batchJob = schema.GroupKind{Group: "batch", Kind: "Job"}

// runKinds are the kinds whose template cannot change, or changes nothing that
// runs. Sources: batch/v1 (Job), and the APIs and name checks of JobSet
// v1alpha2, Kubeflow's PyTorchJob v1 and TrainJob v1alpha1, KubeRay v1 (a RayJob
// has 47 characters at most) and Volcano v1alpha1.
var runKinds = map[schema.GroupKind]runKind{
	batchJob: {
		mutable: []string{"parallelism", "suspend", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"},
		labels:  []string{"job-name", "batch.kubernetes.io/job-name"},
		host:    `-[0-9]+`,
		room: func(obj *unstructured.Unstructured) int {
			if mode, _, _ := unstructured.NestedString(obj.Object, "spec", "completionMode"); mode != "Indexed" {
				return 0
			}
			return len(index(obj.Object, 1, "spec", "completions"))
		},
	},
	{Group: "jobset.x-k8s.io", Kind: "JobSet"}: {
		mutable: []string{"suspend", "ttlSecondsAfterFinished"},
		labels:  []string{"jobset.sigs.k8s.io/jobset-name"},
		host:    `-` + dns + `-[0-9]+-[0-9]+`,
		domain:  "network.subdomain",
		room: func(obj *unstructured.Unstructured) int {
			longest := 0
			for _, item := range list(obj, "spec", "replicatedJobs") {
				name, _ := item["name"].(string)
				longest = max(longest, len("-"+name+index(item, 1, "replicas")+index(item, 1, "template", "spec", "parallelism")))
			}
			return longest
		},
	},
	{Group: "trainer.kubeflow.org", Kind: "TrainJob"}: {
		mutable: []string{"suspend"},
		labels:  []string{"jobset.sigs.k8s.io/jobset-name"},
		host:    `-` + dns + `-[0-9]+-[0-9]+`,
		domain:  "-",
		// Its runtime names the jobs of the JobSet; this is the longest of
		// those that come with the trainer.
		room: func(*unstructured.Unstructured) int { return len("-dataset-initializer-0-0") },
	},
	{Group: "kubeflow.org", Kind: "PyTorchJob"}: {
		mutable: []string{"runPolicy.suspend", "runPolicy.ttlSecondsAfterFinished", "runPolicy.activeDeadlineSeconds", "runPolicy.cleanPodPolicy"},
		labels:  []string{"training.kubeflow.org/job-name"},
		host:    `-(?:master|worker)-[0-9]+`,
		room: func(obj *unstructured.Unstructured) int {
			return len("-worker" + index(obj.Object, 1, "spec", "pytorchReplicaSpecs", "Worker", "replicas"))
		},
	},
	{Group: "ray.io", Kind: "RayJob"}: {
		mutable: []string{"suspend", "ttlSecondsAfterFinished", "activeDeadlineSeconds"},
		room:    func(*unstructured.Unstructured) int { return nameLimit - 47 },
	},
	{Group: "batch.volcano.sh", Kind: "Job"}: {
		mutable: []string{"minAvailable", "ttlSecondsAfterFinished"},
		labels:  []string{"volcano.sh/job-name"},
		host:    `-` + dns + `-[0-9]+`,
		domain:  "-",
		room: func(obj *unstructured.Unstructured) int {
			longest := 0
			for _, item := range list(obj, "spec", "tasks") {
				name, _ := item["name"].(string)
				longest = max(longest, len("-"+name+index(item, 1, "replicas")))
			}
			return longest
		},
	},
}

// isRun says whether an object is a run: work that ends by itself.
func isRun(ref apply.Ref) bool {
	_, ok := runKinds[ref.GroupKind()]
	return ok
}

// index is the suffix of the last of as many pods or jobs as a field says.
func index(fields map[string]any, otherwise int64, path ...string) string {
	n, ok, _ := unstructured.NestedInt64(fields, path...)
	if !ok {
		n = otherwise
	}
	return fmt.Sprintf("-%d", max(n-1, 0))
}

func list(obj *unstructured.Unstructured, path ...string) []map[string]any {
	items, _, _ := unstructured.NestedSlice(obj.Object, path...)
	var out []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// ownDomain says whether the pods' subdomain is the run's name.
func (k runKind) ownDomain(obj *unstructured.Unstructured) bool {
	if k.domain == "" || k.domain == "-" {
		return k.domain == "-"
	}
	given, _, _ := unstructured.NestedString(obj.Object, append([]string{"spec"}, strings.Split(k.domain, ".")...)...)
	return given == ""
}
