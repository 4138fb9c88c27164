// Package release remembers what was promoted, in the namespace it was
// promoted to: one ConfigMap that points to the current release and holds the
// inventory, and one immutable Secret a release with its record and its
// manifests. Manifests may hold Secrets; that is why they are kept in one.
// What does not fit into one Secret is continued in others, its parts.
//
// Invariants:
//   - The inventory is written before the objects are (with all that may
//     come) and after (with what is there), so that a promotion that dies in
//     between leaves nothing that the next one does not know of.
//   - One run at a time: a Lease that is renewed while it lasts (Lock). And
//     the ConfigMap is only written against the version that was read, so that
//     a plan made before another run ended stops with ErrConcurrent.
//   - The Secret of a release is written after its parts and before the
//     pointer to it: it is the moment from which the release is a whole one.
//   - A failed promotion is recorded and never becomes the current one.
//   - What a newer kubectl-ai wrote is refused with a *NewerError; what an
//     older one wrote is read (testdata).
//
// All Secrets are owned by the ConfigMap and go with it. Objects of a release
// carry its label and no owner: they must not go with the record.
//
// The ConfigMap is the parent of an ApplySet (KEP-3659), so `kubectl get -l
// applyset.kubernetes.io/part-of=…` lists what belongs to a release.
package release

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

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

	// partLabel is on a part: the digest of the whole, such as
	// 9c1f0e5a77aa01b2.
	partLabel = "kubectl-ai.dev/part"
	// partsAnnotation is on the Secret of a release that has parts: their
	// digest and number, such as 9c1f0e5a77aa01b2/3.
	partsAnnotation = "kubectl-ai.dev/parts"

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

// Status is how a promotion ended.
type Status string

// The statuses. The first two are stored; the others are what History says of
// a release that has no record, and of a record that cannot be read.
const (
	Deployed    Status = "deployed"
	Failed      Status = "failed"
	Pending     Status = "pending"     // a run is at it
	Interrupted Status = "interrupted" // its run died; the next one takes over
	Damaged     Status = "damaged"
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
	// Replaced are earlier runs that gave way to the runs of this release.
	Replaced []Replaced `json:"replaced,omitempty"`
	// From is the environment and the number of the release that this one
	// brought here, such as staging/12.
	From    string    `json:"from,omitempty"`
	Who     string    `json:"who"`
	Context string    `json:"context"`
	Server  string    `json:"server"`
	When    time.Time `json:"when"`
}

// Replaced is an earlier run that had not ended, and what became of it.
type Replaced struct {
	Object apply.Ref `json:"object"`
	How    string    `json:"how"` // after-finish, suspend or kill
}

// Entry is an object of the inventory.
type Entry struct {
	apply.Ref
	apply.Receipt
	// Release is the number of the last release that rendered the object.
	Release int `json:"release"`
	// Made says, of a Namespace, that a release made it: one that was there
	// before is never deleted unasked.
	Made bool `json:"made,omitempty"`
}

// Begun is what is known of a run that has not ended.
type Begun struct {
	Doing      string    `json:"doing"` // promote, rollback or uninstall
	Who        string    `json:"who"`
	When       time.Time `json:"when"`
	TreeDigest string    `json:"treeDigest,omitempty"`
}

// State is the ConfigMap's content.
type State struct {
	// Format is the version of the ConfigMap's format; 0 and 1 are one.
	Format int `json:"format,omitempty"`
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
	// Begun says what is under way; nil: nothing.
	Begun *Begun `json:"begun,omitempty"`
	// Unsettled says that the current release was recorded by a run that died
	// before it could write the pointer and the inventory.
	Unsettled bool `json:"-"`
	// Unpruned says that the last prune left something behind.
	Unpruned bool `json:"unpruned,omitempty"`
	// Parts says which Secrets hold the inventory when the ConfigMap cannot:
	// their digest and number.
	Parts string `json:"parts,omitempty"`
	// Claims are the volume claims that StatefulSets of the project made. They
	// carry no label of ours, are never pruned, and go with an uninstall that
	// is told to delete data.
	Claims []Entry `json:"claims,omitempty"`
	// Inventory lists the objects that belong to the project here.
	Inventory []Entry `json:"-"`

	version string // of the ConfigMap; "" when it is not there
	died    bool   // the last run did, and may have left parts that belong to nothing
	uid     types.UID
}

// Exists says whether anything was ever recorded here.
func (s *State) Exists() bool { return s.version != "" || s.Last > 0 }

// AddClaims notes claims, each once.
func (s *State) AddClaims(claims []Entry) {
	for _, e := range claims {
		if !slices.ContainsFunc(s.Claims, func(have Entry) bool { return have.Ref == e.Ref && have.UID == e.UID }) {
			s.Claims = append(s.Claims, e)
		}
	}
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
