// Package release remembers what was promoted: one Secret a revision in the
// target's own namespace, with the rendered objects, the digests of code and
// images, who and when. The newest revision that was deployed is the current
// one; a failed one never is.
package release

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// SecretType is the type of the Secrets that hold releases.
const SecretType = "kubectl-ai.dev/release"

const (
	projectLabel   = "kubectl-ai.dev/release-of" // the project's name
	statusLabel    = "kubectl-ai.dev/status"     // a Status
	revisionsLabel = "kubectl-ai.dev/revision"   // the number
)

// keep is how many revisions stay in the cluster.
const keep = 10

// Status says how a promotion ended.
type Status string

// The statuses.
const (
	Deployed Status = "deployed"
	Failed   Status = "failed"
)

// Release is one promotion.
type Release struct {
	APIVersion   string            `json:"apiVersion"`
	Kind         string            `json:"kind"`
	Revision     int               `json:"revision"`
	Project      string            `json:"project"`
	Environment  string            `json:"environment"`
	Status       Status            `json:"status"`
	Reason       string            `json:"reason,omitempty"` // of a failure
	TreeDigest   tree.Digest       `json:"treeDigest"`
	BundleDigest string            `json:"bundleDigest"` // SHA-256 of the objects as applied
	Images       map[string]string `json:"images"`       // container -> image by digest
	RollbackTo   int               `json:"rollbackTo,omitempty"`
	Who          string            `json:"who"`
	Context      string            `json:"context"`
	When         time.Time         `json:"when"`
	Inventory    []Item            `json:"inventory"`

	Objects []*unstructured.Unstructured `json:"-"` // as applied
}

// Item is an object that the release owns.
type Item struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Namespace  string    `json:"namespace,omitempty"`
	Name       string    `json:"name"`
	UID        types.UID `json:"uid"`
}

// Key identifies an item whatever its UID.
func (i Item) Key() string { return i.APIVersion + "/" + i.Kind + "/" + i.Namespace + "/" + i.Name }

// ItemOf returns the item of a live object.
func ItemOf(obj *unstructured.Unstructured) Item {
	return Item{obj.GetAPIVersion(), obj.GetKind(), obj.GetNamespace(), obj.GetName(), obj.GetUID()}
}

// Object returns the item as an object to look up or delete.
func (i Item) Object() *unstructured.Unstructured {
	obj := &unstructured.Unstructured{}
	obj.SetAPIVersion(i.APIVersion)
	obj.SetKind(i.Kind)
	obj.SetNamespace(i.Namespace)
	obj.SetName(i.Name)
	obj.SetUID(i.UID)
	return obj
}

// NotFoundError says that there is no such release.
type NotFoundError struct {
	Project  string
	Revision int // 0: none at all
}

func (e *NotFoundError) Error() string {
	if e.Revision == 0 {
		return fmt.Sprintf("%s was never promoted there", e.Project)
	}
	return fmt.Sprintf("%s has no deployed release %d there", e.Project, e.Revision)
}

// Store is the releases of one project in one namespace.
type Store struct {
	Client    kubernetes.Interface
	Namespace string
	Project   string
}

// content is what a Secret holds, gzipped.
type content struct {
	Release Release          `json:"release"`
	Objects []map[string]any `json:"objects"`
}

// List returns the releases, the oldest first.
func (s *Store) List(ctx context.Context) ([]Release, error) {
	list, err := s.Client.CoreV1().Secrets(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: projectLabel + "=" + s.Project})
	if err != nil {
		return nil, fmt.Errorf("read the releases in namespace %s: %w", s.Namespace, err)
	}
	releases := make([]Release, 0, len(list.Items))
	for i := range list.Items {
		r, err := decode(list.Items[i].Data["release"])
		if err != nil {
			return nil, fmt.Errorf("release %s: %w", list.Items[i].Name, err)
		}
		releases = append(releases, r)
	}
	slices.SortFunc(releases, func(a, b Release) int { return a.Revision - b.Revision })
	return releases, nil
}

// Current returns the newest release that was deployed; ok is false for none.
func Current(releases []Release) (r Release, ok bool) {
	for _, r := range slices.Backward(releases) {
		if r.Status == Deployed {
			return r, true
		}
	}
	return Release{}, false
}

// Owned returns what the current release and failed ones after it own.
func Owned(releases []Release) []Item {
	seen := map[string]bool{}
	var items []Item
	for _, r := range slices.Backward(releases) {
		for _, item := range r.Inventory {
			if !seen[item.Key()] {
				seen[item.Key()] = true
				items = append(items, item)
			}
		}
		if r.Status == Deployed {
			break
		}
	}
	return items
}

// Save writes a release under the next revision and forgets the oldest ones.
// The current release is never forgotten.
func (s *Store) Save(ctx context.Context, r *Release, before []Release) error {
	r.APIVersion, r.Kind, r.Project = "kubectl-ai.dev/v1alpha1", "Release", s.Project
	r.Revision = 1
	if len(before) > 0 {
		r.Revision = before[len(before)-1].Revision + 1
	}
	packed, err := encode(*r)
	if err != nil {
		return fmt.Errorf("record release %d: %w", r.Revision, err)
	}
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("kubectl-ai.%s.v%d", s.Project, r.Revision), Namespace: s.Namespace,
			Labels: map[string]string{projectLabel: s.Project, statusLabel: string(r.Status), revisionsLabel: strconv.Itoa(r.Revision)},
		},
		Type: SecretType, Immutable: &immutable, Data: map[string][]byte{"release": packed},
	}
	if _, err := s.Client.CoreV1().Secrets(s.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("record release %d: %w", r.Revision, err)
	}
	current, _ := Current(append(slices.Clone(before), *r))
	for _, old := range before[:max(0, len(before)+1-keep)] {
		if old.Revision == current.Revision {
			continue
		}
		name := fmt.Sprintf("kubectl-ai.%s.v%d", s.Project, old.Revision)
		if err := s.Client.CoreV1().Secrets(s.Namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("forget release %d: %w", old.Revision, err)
		}
	}
	return nil
}

func encode(r Release) ([]byte, error) {
	c := content{Release: r}
	for _, obj := range r.Objects {
		c.Objects = append(c.Objects, obj.Object)
	}
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if err := json.NewEncoder(w).Encode(c); err != nil {
		return nil, err
	}
	err := w.Close()
	return buf.Bytes(), err
}

// longest bounds a record, unpacked: a Secret holds 1 MiB.
const longest = 64 << 20

func decode(raw []byte) (Release, error) {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return Release{}, err
	}
	unpacked, err := io.ReadAll(io.LimitReader(z, longest))
	if err != nil {
		return Release{}, err
	}
	var c struct {
		Release Release           `json:"release"`
		Objects []json.RawMessage `json:"objects"`
	}
	if err := json.Unmarshal(unpacked, &c); err != nil {
		return Release{}, err
	}
	for _, object := range c.Objects {
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(object); err != nil {
			return Release{}, err
		}
		c.Release.Objects = append(c.Release.Objects, obj)
	}
	return c.Release, nil
}
