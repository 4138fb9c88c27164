package release

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

const (
	stateKey           = "state.json"
	inventoryKey       = "inventory.json" // of format 1
	packedInventoryKey = "inventory.json.zst"
	stateFormat        = 2
)

// Load reads the state; an empty one when nothing was promoted yet. When the
// ConfigMap is lost, the records tell the numbers and the objects. A release
// whose record is whole and whose run died before the pointer was written is
// the current one: it was ready, and recorded.
func (s *Store) Load(ctx context.Context) (*State, error) {
	obj, err := s.Client.Resource(configMaps).Namespace(s.Namespace).Get(ctx, stateName(s.Project), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return s.recover(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read the current release: %w", err)
	}
	state, err := decodeState(obj)
	if err != nil {
		return nil, err
	}
	if state.Parts != "" {
		packed, err := s.parts(ctx, state.Parts)
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			return nil, &DamagedError{Object: "ConfigMap/" + obj.GetName(), Err: err}
		}
		if err != nil {
			return nil, err
		}
		if state.Inventory, err = inventoryOf(packed); err != nil {
			return nil, &DamagedError{Object: "ConfigMap/" + obj.GetName(), Err: err}
		}
	}
	if err := s.finish(ctx, state); err != nil {
		return nil, err
	}
	if state.Current > 0 && state.Bundle == "" {
		record, err := s.record(ctx, state.Current)
		if err != nil {
			return nil, err
		}
		state.Bundle = record.BundleDigest
	}
	return state, nil
}

// finish takes a pending release for what its record says, if it has one.
func (s *Store) finish(ctx context.Context, state *State) error {
	if state.Pending == 0 {
		return nil
	}
	state.died = true
	record, err := s.record(ctx, state.Pending)
	if err != nil || record.Revision == 0 {
		return err
	}
	state.Last, state.Pending, state.Begun = record.Revision, 0, nil
	if record.Status == Deployed {
		state.Current, state.Bundle, state.Unsettled = record.Revision, record.BundleDigest, true
	}
	return nil
}

// record returns the record of a release; an empty one when it is lost or
// damaged, which is no reason not to go on.
func (s *Store) record(ctx context.Context, number int) (Record, error) {
	obj, err := s.Client.Resource(secrets).Namespace(s.Namespace).Get(ctx, secretName(s.Project, number), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Record{}, nil
	}
	if err != nil {
		return Record{}, fmt.Errorf("read release %d: %w", number, err)
	}
	record, err := decodeRecord(obj)
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		return Record{}, nil
	}
	return record, err
}

// recover makes a state from the records. What the current release brought is
// in the inventory without UIDs: the label decides what of it is ours.
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
	if state.Current == 0 {
		return state, nil
	}
	_, objects, err := s.Get(ctx, state.Current)
	var damaged *DamagedError
	if err != nil && !errors.As(err, &damaged) {
		return nil, err
	}
	for _, obj := range objects {
		state.Inventory = append(state.Inventory, Entry{Ref: apply.RefOf(obj), Release: state.Current})
	}
	return state, nil
}

// Save writes the state over the version that was read; ErrConcurrent when
// somebody else wrote since.
func (s *Store) Save(ctx context.Context, state *State) error {
	obj, parts, err := encodeState(state, s.Project, s.Namespace)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := s.addPart(ctx, part); err != nil {
			return err
		}
	}
	if state.version != "" {
		obj.SetResourceVersion(state.version)
	}
	written, err := s.write(ctx, configMaps, obj)
	switch {
	case apierrors.IsConflict(err), state.version == "" && apierrors.IsAlreadyExists(err), state.version != "" && apierrors.IsNotFound(err):
		return fmt.Errorf("%w (ConfigMap/%s in %s)", ErrConcurrent, stateName(s.Project), s.Namespace)
	case err != nil:
		return fmt.Errorf("write ConfigMap/%s: %w", stateName(s.Project), err)
	}
	state.version, state.uid = written.GetResourceVersion(), written.GetUID()
	return nil
}

// encodeState makes the ConfigMap. An inventory that it cannot hold (some
// 13,000 objects with their receipts) is in parts.
func encodeState(state *State, project, namespace string) (*unstructured.Unstructured, []*unstructured.Unstructured, error) {
	inventory := slices.Clone(state.Inventory)
	slices.SortFunc(inventory, func(a, b Entry) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	if inventory == nil {
		inventory = []Entry{}
	}
	body, err := json.Marshal(inventory)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the inventory: %w", err)
	}
	packed, err := pack(body)
	if err != nil {
		return nil, nil, err
	}
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"name":        stateName(project),
			"namespace":   namespace,
			"labels":      map[string]any{ProjectLabel: project, idLabel: ID(project, namespace)},
			"annotations": map[string]any{tooling: toolingValue, groupKinds: kinds(inventory)},
		},
	}}
	state.Format, state.Parts = stateFormat, ""
	var parts []*unstructured.Unstructured
	if len(packed) > partLimit {
		parts, state.Parts = partsOf(project, namespace, packed, state.uid)
	} else {
		obj.Object["binaryData"] = map[string]any{packedInventoryKey: base64.StdEncoding.EncodeToString(packed)}
	}
	head, err := json.Marshal(state)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the release: %w", err)
	}
	obj.Object["data"] = map[string]any{stateKey: string(head)}
	return obj, parts, nil
}

// decodeState reads the ConfigMap. It returns a *DamagedError or a
// *NewerError.
func decodeState(obj *unstructured.Unstructured) (*State, error) {
	damaged := func(err error) (*State, error) {
		return nil, &DamagedError{Object: "ConfigMap/" + obj.GetName(), Err: err}
	}
	text, ok, err := unstructured.NestedString(obj.Object, "data", stateKey)
	if err != nil || !ok {
		return damaged(fmt.Errorf("it has no %s", stateKey))
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal([]byte(text), &head); err != nil {
		return damaged(err)
	}
	if head.Format > stateFormat {
		return nil, &NewerError{Object: "ConfigMap/" + obj.GetName(), Version: strconv.Itoa(head.Format), Known: strconv.Itoa(stateFormat)}
	}
	state := &State{}
	if err := json.Unmarshal([]byte(text), state); err != nil {
		return damaged(err)
	}
	state.version, state.uid = obj.GetResourceVersion(), obj.GetUID()
	if state.Format < stateFormat {
		body, _, _ := unstructured.NestedString(obj.Object, "data", inventoryKey)
		if err := json.Unmarshal([]byte(body), &state.Inventory); err != nil {
			return damaged(err)
		}
		return state, nil
	}
	if state.Parts != "" {
		return state, nil
	}
	packed, err := value(obj, "binaryData", packedInventoryKey)
	if err != nil {
		return damaged(err)
	}
	if state.Inventory, err = inventoryOf(packed); err != nil {
		return damaged(err)
	}
	return state, nil
}

func inventoryOf(packed []byte) ([]Entry, error) {
	body, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	var inventory []Entry
	if err := json.Unmarshal(body, &inventory); err != nil {
		return nil, err
	}
	return inventory, nil
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
