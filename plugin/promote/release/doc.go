// Package release remembers what was promoted, in the namespace it was
// promoted to: one ConfigMap that points to the current release and holds the
// inventory, and one immutable Secret a release with its record and its
// manifests. Manifests may hold Secrets; that is why they are kept in one.
//
// Invariants:
//   - The inventory is written before the objects are (with all that may
//     come) and after (with what is there), so that a promotion that dies in
//     between leaves nothing that the next one does not know of.
//   - The ConfigMap is only written against the version that was read: of two
//     promotions at once one stops with ErrConcurrent.
//   - A failed promotion is recorded and never becomes the current one.
//
// The ConfigMap is the parent of an ApplySet (KEP-3659), so `kubectl get -l
// applyset.kubernetes.io/part-of=…` lists what belongs to a release.
package release

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// Labels and annotations. The applyset ones are Kubernetes' own.
const (
	// ProjectLabel is on every object of a release: the project's name.
	ProjectLabel = "kubectl-ai.dev/project"
	// RevisionLabel is on the Secret of a release: its number, such as 12.
	RevisionLabel = "kubectl-ai.dev/revision"
	// StatusLabel is on the Secret of a release: deployed or failed.
	StatusLabel = "kubectl-ai.dev/status"
	// PartOf is on every object of a release: the ID of its ApplySet.
	PartOf = "applyset.kubernetes.io/part-of"

	idLabel      = "applyset.kubernetes.io/id"
	tooling      = "applyset.kubernetes.io/tooling"
	toolingValue = "kubectl-ai/v1"
	groupKinds   = "applyset.kubernetes.io/contains-group-kinds"
)

// APIVersion and Kind are those of a Record as JSON.
const (
	APIVersion = "kubectl-ai.dev/v1alpha1"
	Kind       = "Release"
)

// Keep is how many releases a namespace remembers.
const Keep = 10

// ErrConcurrent says that another promotion wrote to the same release.
var ErrConcurrent = errors.New("another promotion of this project is under way or was just done")

// NotFoundError says that there is no release of that number; Revision 0 means
// that there is none at all.
type NotFoundError struct {
	Project, Namespace string
	Revision           int
}

func (e *NotFoundError) Error() string {
	if e.Revision == 0 {
		return fmt.Sprintf("no release of %s in namespace %s to go back to", e.Project, e.Namespace)
	}
	return fmt.Sprintf("no release %d of %s in namespace %s", e.Revision, e.Project, e.Namespace)
}

// TooLargeError says that the manifests of a release do not fit into a Secret.
type TooLargeError struct{ Size, Limit int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the manifests have %d bytes compressed, and a Secret that keeps them holds %d", e.Size, e.Limit)
}

// Status is how a promotion ended.
type Status string

// The statuses.
const (
	Deployed Status = "deployed"
	Failed   Status = "failed"
)

// Record is what is known of one release. Its JSON form is stable.
type Record struct {
	APIVersion   string `json:"apiVersion"`
	Kind         string `json:"kind"`
	Revision     int    `json:"revision"`
	Project      string `json:"project"`
	Environment  string `json:"environment"`
	Namespace    string `json:"namespace"`
	Status       Status `json:"status"`
	Reason       string `json:"reason,omitempty"` // of a failure
	TreeDigest   string `json:"treeDigest"`
	BundleDigest string `json:"bundleDigest"` // of the objects as applied
	// Images maps Kind/name/container to the image it runs.
	Images     map[string]string `json:"images"`
	Evidence   *Evidence         `json:"evidence,omitempty"`
	Gates      []Gate            `json:"gates,omitempty"`      // that it passed
	Workloads  []apply.Standing  `json:"workloads,omitempty"`  // as they stood at the end
	RollbackTo int               `json:"rollbackTo,omitempty"` // the release whose manifests these are
	Who        string            `json:"who"`
	Context    string            `json:"context"`
	Server     string            `json:"server"`
	When       time.Time         `json:"when"`
}

// Entry is an object of the inventory.
type Entry struct {
	apply.Ref
	apply.Receipt
	// Release is the number of the last release that rendered the object.
	Release int `json:"release"`
}

// State is the ConfigMap's content.
type State struct {
	// Current is the number of the last release that was deployed, 0: none.
	Current int `json:"current"`
	// Bundle is its bundle digest. It is kept in the Secret of the release
	// alone: together with what everybody may read it would let the values of
	// the bundle's Secrets be guessed.
	Bundle string `json:"-"`
	// Last is the highest number given, failed releases counted.
	Last int `json:"last"`
	// Pending is the number of a release that is under way, or was when its
	// promoter died; 0: none.
	Pending int `json:"pending,omitempty"`
	// Unpruned says that the last prune left something behind.
	Unpruned bool `json:"unpruned,omitempty"`
	// Inventory lists the objects that belong to the project here.
	Inventory []Entry `json:"-"`

	version string // of the ConfigMap; "" when it is not there
}

// Find returns the inventory's entry of an object.
func (s *State) Find(ref apply.Ref) (Entry, bool) {
	for _, e := range s.Inventory {
		if e.Ref == ref {
			return e, true
		}
	}
	return Entry{}, false
}

// Receipts returns the receipts of the inventory.
func (s *State) Receipts() map[apply.Ref]apply.Receipt {
	out := make(map[apply.Ref]apply.Receipt, len(s.Inventory))
	for _, e := range s.Inventory {
		if e.UID != "" {
			out[e.Ref] = e.Receipt
		}
	}
	return out
}

// BundleDigest returns the digest of objects as they are applied.
func BundleDigest(objects []*unstructured.Unstructured) string {
	h := sha256.New()
	for _, obj := range objects {
		_, _ = fmt.Fprintf(h, "%s  %s\n", apply.Sum(obj), apply.RefOf(obj))
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

// ID returns the ID of the project's ApplySet in a namespace (KEP-3659,
// "ApplySet IDs").
func ID(project, namespace string) string {
	sum := sha256.Sum256([]byte(stateName(project) + "." + namespace + ".ConfigMap."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

func stateName(project string) string { return "kubectl-ai-" + project }

func secretName(project string, number int) string {
	return fmt.Sprintf("kubectl-ai-%s-v%d", project, number)
}
