package run

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
)

const (
	recordKey = "run.json"
	// manager is the field manager of records.
	manager = "kubectl-ai"
)

// Store keeps records in a namespace, one ConfigMap a run.
type Store struct {
	Client    clientset.Interface
	Namespace string
}

// Name returns the name of a run's ConfigMap.
func Name(id string) string { return "kubectl-ai-run-" + id }

// NewID returns an ID that is easy to say and type: six letters and digits,
// without vowels.
func NewID() string { return rand.String(6) }

// Create writes the first record of a run, and returns the reference by which
// its Job belongs to it. Created is set to the server's time.
func (s *Store) Create(ctx context.Context, r *Record) (metav1.OwnerReference, error) {
	object, err := encode(r)
	if err != nil {
		return metav1.OwnerReference{}, err
	}
	made, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Create(ctx, object, metav1.CreateOptions{FieldManager: manager})
	if err != nil {
		return metav1.OwnerReference{}, fmt.Errorf("write the record of run %s: %w", r.ID, err)
	}
	r.Created = made.CreationTimestamp.UTC()
	return owner(made), nil
}

func owner(object *corev1.ConfigMap) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: object.Name, UID: object.UID}
}

// Get reads a record. It returns a *NotFoundError, *NewerError or *DamagedError.
func (s *Store) Get(ctx context.Context, id string) (Record, error) {
	object, err := s.object(ctx, id)
	if err != nil {
		return Record{}, err
	}
	return decode(object)
}

// object reads what holds a record. One that is being deleted is gone: it
// stays only until its Job and pods are.
func (s *Store) object(ctx context.Context, id string) (*corev1.ConfigMap, error) {
	object, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Get(ctx, Name(id), metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && object.DeletionTimestamp != nil {
		return nil, &NotFoundError{ID: id, Namespace: s.Namespace}
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of run %s: %w", id, err)
	}
	return object, nil
}

// List reads all records of a project, the oldest first; project "" stands for
// all. Those that cannot be read are returned as the errors that they are.
func (s *Store) List(ctx context.Context, project string) ([]Record, []error, error) {
	selector := IDLabel
	if project != "" {
		selector += "," + ProjectLabel + "=" + project
	}
	list, err := s.Client.CoreV1().ConfigMaps(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, nil, fmt.Errorf("list runs in namespace %s: %w", s.Namespace, err)
	}
	var records []Record
	var broken []error
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp != nil {
			continue
		}
		r, err := decode(&list.Items[i])
		if err != nil {
			broken = append(broken, err)
			continue
		}
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return records, broken, nil
}

// Update changes a record by change, which may be called again: whoever writes
// in between is heard. It writes nothing when nothing changed.
func (s *Store) Update(ctx context.Context, id string, change func(*Record) error) (Record, error) {
	for {
		object, err := s.object(ctx, id)
		if err != nil {
			return Record{}, err
		}
		r, err := decode(object)
		if err != nil {
			return r, err
		}
		if err := change(&r); err != nil {
			return r, err
		}
		next, err := encode(&r)
		if err != nil || next.Data[recordKey] == object.Data[recordKey] {
			return r, err
		}
		object.Data = next.Data
		_, err = s.Client.CoreV1().ConfigMaps(s.Namespace).Update(ctx, object, metav1.UpdateOptions{FieldManager: manager})
		switch {
		case err == nil:
			return r, nil
		case !apierrors.IsConflict(err):
			return r, fmt.Errorf("write the record of run %s: %w", id, err)
		}
	}
}

// Delete removes a run: its record, its Job and its pods. A Job that somebody
// else made does not go with the record, and would be adopted again.
func (s *Store) Delete(ctx context.Context, id string) error {
	foreground := metav1.DeletePropagationForeground
	others, err := s.Client.BatchV1().Jobs(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: IDLabel + "=" + id})
	if err != nil {
		return fmt.Errorf("list the Jobs of run %s: %w", id, err)
	}
	for _, job := range others.Items {
		uid := job.UID
		err := s.Client.BatchV1().Jobs(s.Namespace).Delete(ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete Job/%s: %w", job.Name, err)
		}
	}
	err = s.Client.CoreV1().ConfigMaps(s.Namespace).Delete(ctx, Name(id), metav1.DeleteOptions{PropagationPolicy: &foreground})
	if apierrors.IsNotFound(err) {
		return &NotFoundError{ID: id, Namespace: s.Namespace}
	}
	if err != nil {
		return fmt.Errorf("delete run %s: %w", id, err)
	}
	return nil
}

// Share makes an object that several runs use, such as the code, go with the
// last of them.
func (s *Store) Share(ctx context.Context, owner metav1.OwnerReference, configMap string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{owner}}})
	if err != nil {
		return err
	}
	// A strategic merge adds to the list, by UID.
	_, err = s.Client.CoreV1().ConfigMaps(s.Namespace).Patch(ctx, configMap, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		return fmt.Errorf("keep ConfigMap/%s for run %s: %w", configMap, owner.Name, err)
	}
	return nil
}

func encode(r *Record) (*corev1.ConfigMap, error) {
	r.APIVersion, r.Kind = APIVersion, Kind
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the record of run %s: %w", r.ID, err)
	}
	labels := map[string]string{IDLabel: r.ID, StageLabel: r.Stage, ProjectLabel: r.Project}
	if r.Matrix != "" {
		labels[MatrixLabel] = r.Matrix
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: Name(r.ID), Namespace: r.Namespace, Labels: labels},
		Data:       map[string]string{recordKey: string(raw)},
	}, nil
}

func decode(object *corev1.ConfigMap) (Record, error) {
	id := object.Labels[IDLabel]
	damaged := func(err error) (Record, error) {
		return Record{}, &DamagedError{Object: "ConfigMap/" + object.Name, Err: err}
	}
	// What tells its version is read first: the rest may have another shape.
	var head struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal([]byte(object.Data[recordKey]), &head); err != nil {
		return damaged(err)
	}
	if head.APIVersion != APIVersion {
		return Record{}, &NewerError{ID: id, Version: head.APIVersion}
	}
	var r Record
	if err := json.Unmarshal([]byte(object.Data[recordKey]), &r); err != nil {
		return damaged(err)
	}
	if r.ID == "" || Name(r.ID) != object.Name {
		return damaged(errors.New("it is the record of another run"))
	}
	r.Created = object.CreationTimestamp.UTC() // the server's clock
	return r, nil
}
