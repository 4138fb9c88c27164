package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
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

// List returns the records, the oldest first. One that cannot be read is
// there with its number, as Damaged; a *NewerError ends the list.
func (s *Store) List(ctx context.Context) ([]Record, error) {
	found, err := s.list(ctx, RevisionLabel)
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	var records []Record
	for i := range found {
		record, err := decodeRecord(&found[i])
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			record = Record{APIVersion: APIVersion, Kind: Kind, Project: s.Project, Namespace: s.Namespace, Revision: damaged.Revision, Status: Damaged, Reason: damaged.Error(), When: found[i].GetCreationTimestamp().UTC()}
		} else if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Revision, b.Revision) })
	return records, nil
}

// History returns the records, the oldest first, and the state. A release that
// is under way, or whose run died, is the last of them.
func (s *Store) History(ctx context.Context) ([]Record, *State, error) {
	records, err := s.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	state, err := s.Load(ctx)
	if err != nil || state.Pending == 0 {
		return records, state, err
	}
	holder, alive, err := s.Held(ctx)
	if err != nil {
		return nil, nil, err
	}
	begun := state.Begun
	if begun == nil {
		begun = &Begun{Doing: "promote"} // an older kubectl-ai did not say
	}
	r := Record{
		APIVersion: APIVersion, Kind: Kind, Revision: state.Pending, Project: s.Project, Namespace: s.Namespace,
		Status: Interrupted, Reason: begun.Doing + " did not end; the next run takes over",
		TreeDigest: begun.TreeDigest, Who: begun.Who, When: begun.When,
	}
	if holder != nil && alive {
		r.Status, r.Reason = Pending, fmt.Sprintf("%s under way, from %s", begun.Doing, holder.Host)
	}
	return append(records, r), state, nil
}

// list returns the project's Secrets that a selector takes.
func (s *Store) list(ctx context.Context, selector string) ([]unstructured.Unstructured, error) {
	found, err := s.Client.Resource(secrets).Namespace(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ProjectLabel + "=" + s.Project + "," + selector})
	if err != nil {
		return nil, err
	}
	return found.Items, nil
}

// Get returns a release with its manifests; *NotFoundError when it is not
// kept any more or never was, *DamagedError when it cannot be read.
func (s *Store) Get(ctx context.Context, number int) (Record, []*unstructured.Unstructured, error) {
	head, err := s.Client.Resource(secrets).Namespace(s.Namespace).Get(ctx, secretName(s.Project, number), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Record{}, nil, &NotFoundError{Project: s.Project, Namespace: s.Namespace, Revision: number}
	}
	if err != nil {
		return Record{}, nil, fmt.Errorf("read release %d: %w", number, err)
	}
	record, err := decodeRecord(head)
	if err != nil {
		return Record{}, nil, err
	}
	objects, err := s.manifests(ctx, head)
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		damaged.Revision = number
	}
	return record, objects, err
}

// manifests reads the objects of the release whose Secret head is.
func (s *Store) manifests(ctx context.Context, head *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	packed, err := value(head, "data", manifestsKey)
	if word := head.GetAnnotations()[partsAnnotation]; err == nil && word != "" {
		if packed, err = s.parts(ctx, word); err != nil {
			return nil, err
		}
	}
	var objects []*unstructured.Unstructured
	if err == nil {
		objects, err = manifestsOf(packed)
	}
	if err != nil {
		return nil, &DamagedError{Object: "Secret/" + head.GetName(), Err: err}
	}
	return objects, nil
}

// parts puts together what was cut. It returns a *DamagedError for a part
// that is missing.
func (s *Store) parts(ctx context.Context, word string) ([]byte, error) {
	digest, n, err := partsWord(word)
	if err != nil {
		return nil, &DamagedError{Object: "Secret/" + partName(s.Project, word, 0), Err: err}
	}
	var out []byte
	for i := range n {
		name := partName(s.Project, digest, i)
		obj, err := s.Client.Resource(secrets).Namespace(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, &DamagedError{Object: "Secret/" + name, Err: errors.New("it is missing")}
		}
		if err != nil {
			return nil, fmt.Errorf("read Secret/%s: %w", name, err)
		}
		chunk, err := value(obj, "data", partKey)
		if err != nil {
			return nil, &DamagedError{Object: "Secret/" + name, Err: err}
		}
		out = append(out, chunk...)
	}
	return out, nil
}

// Add writes a release: the parts first, so that one whose Secret is there is
// whole. A number that is taken is ErrConcurrent.
func (s *Store) Add(ctx context.Context, state *State, r Record, manifests []byte) error {
	head, parts, err := encode(r, manifests, state.uid)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := s.addPart(ctx, part); err != nil {
			return err
		}
	}
	_, err = s.write(ctx, secrets, head)
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("%w: release %d exists", ErrConcurrent, r.Revision)
	}
	if err != nil {
		return fmt.Errorf("write release %d: %w", r.Revision, err)
	}
	return nil
}

func (s *Store) addPart(ctx context.Context, part *unstructured.Unstructured) error {
	_, err := s.write(ctx, secrets, part)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("write Secret/%s: %w", part.GetName(), err)
	}
	return nil
}

// write creates an object, or updates the version that it names. What a try
// wrote whose answer was lost, the next one finds in its way: it is ours.
func (s *Store) write(ctx context.Context, resource schema.GroupVersionResource, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	client := s.Client.Resource(resource).Namespace(s.Namespace)
	tries := 0
	written, err := apply.Again(ctx, func() (*unstructured.Unstructured, error) {
		tries++
		if obj.GetResourceVersion() == "" {
			return client.Create(ctx, obj, metav1.CreateOptions{FieldManager: manager})
		}
		return client.Update(ctx, obj, metav1.UpdateOptions{FieldManager: manager})
	})
	if tries > 1 && (apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err)) {
		live, getErr := client.Get(ctx, obj.GetName(), metav1.GetOptions{})
		if getErr == nil && reflect.DeepEqual(live.Object["data"], obj.Object["data"]) && reflect.DeepEqual(live.Object["binaryData"], obj.Object["binaryData"]) {
			return live, nil
		}
	}
	return written, err
}

// Trim deletes all releases but the newest Keep ones and the current one, and
// parts that belong to nothing, such as those of a run that died. Where there
// are no parts it does not look for them.
func (s *Store) Trim(ctx context.Context, state *State) error {
	heads, err := s.list(ctx, RevisionLabel)
	if err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	number := func(head *unstructured.Unstructured) int {
		n, _ := strconv.Atoi(head.GetLabels()[RevisionLabel])
		return n
	}
	slices.SortFunc(heads, func(a, b unstructured.Unstructured) int { return cmp.Compare(number(&a), number(&b)) })
	var errs []error
	var used []string
	sweep := state.died
	use := func(word string) {
		sweep = sweep || word != ""
		if digest, _, err := partsWord(word); err == nil && !slices.Contains(used, digest) {
			used = append(used, digest)
		}
	}
	use(state.Parts)
	for i := range heads {
		if i >= len(heads)-Keep || number(&heads[i]) == state.Current {
			use(heads[i].GetAnnotations()[partsAnnotation])
			continue
		}
		sweep = sweep || heads[i].GetAnnotations()[partsAnnotation] != ""
		errs = append(errs, s.forget(ctx, heads[i].GetName()))
	}
	if !sweep {
		return errors.Join(errs...)
	}
	selector := partLabel
	if len(used) > 0 {
		selector += "," + partLabel + " notin (" + strings.Join(used, ",") + ")"
	}
	orphans, err := s.list(ctx, selector)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("list parts of releases: %w", err))...)
	}
	for i := range orphans {
		errs = append(errs, s.forget(ctx, orphans[i].GetName()))
	}
	return errors.Join(errs...)
}

// Forget deletes all that is kept of the project here, the ConfigMap last.
func (s *Store) Forget(ctx context.Context) error {
	for _, selector := range []string{RevisionLabel, partLabel} {
		found, err := s.list(ctx, selector)
		if err != nil {
			return fmt.Errorf("list releases: %w", err)
		}
		for i := range found {
			if err := s.forget(ctx, found[i].GetName()); err != nil {
				return err
			}
		}
	}
	err := s.Client.Resource(configMaps).Namespace(s.Namespace).Delete(ctx, stateName(s.Project), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete ConfigMap/%s: %w", stateName(s.Project), err)
	}
	return nil
}

func (s *Store) forget(ctx context.Context, name string) error {
	err := s.Client.Resource(secrets).Namespace(s.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret/%s: %w", name, err)
	}
	return nil
}

// IsRecord says whether an object of the namespace is kept here.
func (s *Store) IsRecord(obj metav1.Object) bool {
	labels := obj.GetLabels()
	return labels[ProjectLabel] == s.Project && (obj.GetName() == stateName(s.Project) || labels[RevisionLabel] != "" || labels[partLabel] != "")
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
