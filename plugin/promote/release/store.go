package release

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

const manager = "kubectl-ai"

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// Store keeps the releases of one project in one namespace.
type Store struct {
	Client    dynamic.Interface
	Project   string
	Namespace string
}

// Load reads the state; an empty one when nothing was promoted yet. When the
// ConfigMap is lost, the records tell the numbers.
func (s *Store) Load(ctx context.Context) (*State, error) {
	obj, err := s.Client.Resource(configMaps).Namespace(s.Namespace).Get(ctx, stateName(s.Project), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return s.recover(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read the current release: %w", err)
	}
	data, _, _ := unstructured.NestedStringMap(obj.Object, "data")
	state := &State{version: obj.GetResourceVersion()}
	if err := json.Unmarshal([]byte(data["state.json"]), state); err != nil {
		return nil, fmt.Errorf("read ConfigMap/%s: %w", stateName(s.Project), err)
	}
	if err := json.Unmarshal([]byte(data["inventory.json"]), &state.Inventory); err != nil {
		return nil, fmt.Errorf("read ConfigMap/%s: %w", stateName(s.Project), err)
	}
	if state.Current > 0 {
		record, _, err := s.Get(ctx, state.Current)
		var lost *NotFoundError
		if err != nil && !errors.As(err, &lost) {
			return nil, err
		}
		state.Bundle = record.BundleDigest
	}
	return state, nil
}

func (s *Store) recover(ctx context.Context) (*State, error) {
	state := &State{}
	records, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		state.Last = max(state.Last, r.Revision)
		if r.Status == Deployed && r.Revision > state.Current {
			state.Current, state.Bundle = r.Revision, r.BundleDigest
		}
	}
	return state, nil
}

// Save writes the state over the version that was read; ErrConcurrent when
// somebody else wrote since.
func (s *Store) Save(ctx context.Context, state *State) error {
	head, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode the release: %w", err)
	}
	inventory := slices.Clone(state.Inventory)
	slices.SortFunc(inventory, func(a, b Entry) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	if inventory == nil {
		inventory = []Entry{}
	}
	body, err := json.Marshal(inventory)
	if err != nil {
		return fmt.Errorf("encode the inventory: %w", err)
	}
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"name":        stateName(s.Project),
			"namespace":   s.Namespace,
			"labels":      map[string]any{ProjectLabel: s.Project, idLabel: ID(s.Project, s.Namespace)},
			"annotations": map[string]any{tooling: toolingValue, groupKinds: kinds(inventory)},
		},
		"data": map[string]any{"state.json": string(head), "inventory.json": string(body)},
	}}
	client := s.Client.Resource(configMaps).Namespace(s.Namespace)
	var written *unstructured.Unstructured
	if state.version == "" {
		written, err = client.Create(ctx, obj, metav1.CreateOptions{FieldManager: manager})
	} else {
		obj.SetResourceVersion(state.version)
		written, err = client.Update(ctx, obj, metav1.UpdateOptions{FieldManager: manager})
	}
	switch {
	case apierrors.IsConflict(err), state.version == "" && apierrors.IsAlreadyExists(err), state.version != "" && apierrors.IsNotFound(err):
		return fmt.Errorf("%w (ConfigMap/%s in %s)", ErrConcurrent, stateName(s.Project), s.Namespace)
	case err != nil:
		return fmt.Errorf("write ConfigMap/%s: %w", stateName(s.Project), err)
	}
	state.version = written.GetResourceVersion()
	return nil
}

// kinds lists the kinds of the inventory as the ApplySet annotation wants
// them: Kind.group, sorted.
func kinds(inventory []Entry) string {
	var out []string
	for _, e := range inventory {
		gk := e.GroupKind().String()
		if !slices.Contains(out, gk) {
			out = append(out, gk)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// List returns the records, the oldest first.
func (s *Store) List(ctx context.Context) ([]Record, error) {
	found, err := s.Client.Resource(secrets).Namespace(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: RevisionLabel + "," + ProjectLabel + "=" + s.Project})
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	var records []Record
	for i := range found.Items {
		record, err := decodeRecord(&found.Items[i])
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Revision, b.Revision) })
	return records, nil
}

// Get returns a release with its manifests; *NotFoundError when it is not
// kept any more or never was.
func (s *Store) Get(ctx context.Context, number int) (Record, []*unstructured.Unstructured, error) {
	obj, err := s.Client.Resource(secrets).Namespace(s.Namespace).Get(ctx, secretName(s.Project, number), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Record{}, nil, &NotFoundError{Project: s.Project, Namespace: s.Namespace, Revision: number}
	}
	if err != nil {
		return Record{}, nil, fmt.Errorf("read release %d: %w", number, err)
	}
	record, err := decodeRecord(obj)
	if err != nil {
		return Record{}, nil, err
	}
	objects, err := decodeManifests(obj)
	return record, objects, err
}

// Add writes a release. A number that is taken is ErrConcurrent.
func (s *Store) Add(ctx context.Context, r Record, manifests []byte) error {
	obj, err := encode(r, manifests)
	if err != nil {
		return err
	}
	_, err = s.Client.Resource(secrets).Namespace(s.Namespace).Create(ctx, obj, metav1.CreateOptions{FieldManager: manager})
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("%w: release %d exists", ErrConcurrent, r.Revision)
	}
	if err != nil {
		return fmt.Errorf("write release %d: %w", r.Revision, err)
	}
	return nil
}

// Trim deletes all releases but the newest Keep ones and the current one.
func (s *Store) Trim(ctx context.Context, current int) error {
	records, err := s.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i, r := range records {
		if i >= len(records)-Keep || r.Revision == current {
			continue
		}
		err := s.Client.Resource(secrets).Namespace(s.Namespace).Delete(ctx, secretName(s.Project, r.Revision), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("forget release %d: %w", r.Revision, err))
		}
	}
	return errors.Join(errs...)
}

// Previous returns the number of the release to go back to: the current one
// when a newer one failed or never ended, else the last deployed one before it.
func Previous(records []Record, state *State) (int, bool) {
	if state.Current > 0 && max(state.Last, state.Pending) > state.Current {
		return state.Current, true
	}
	best := 0
	for _, r := range records {
		if r.Status == Deployed && r.Revision < state.Current && r.Revision > best {
			best = r.Revision
		}
	}
	return best, best > 0
}
