package release

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

func newStore(t *testing.T) (*Store, *fake.FakeDynamicClient) {
	t.Helper()
	d := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		secrets: "SecretList", configMaps: "ConfigMapList", leases: "LeaseList",
	})
	return &Store{Client: d, Project: "digits", Namespace: "ns"}, d
}

func record(revision int, status Status) Record {
	return Record{
		Revision: revision, Project: "digits", Environment: "production", Namespace: "ns", Status: status,
		TreeDigest: "sha256:t", BundleDigest: "sha256:b", Images: map[string]string{"Job/j/c": "r@sha256:i"}, Who: "me", When: time.Unix(1000, 0).UTC(),
	}
}

func objects(n int) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for range n {
		out = append(out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": "j"}, "spec": map[string]any{"parallelism": int64(2)},
		}})
	}
	return out
}

func TestAReleaseComesBackAsItWas(t *testing.T) {
	s, _ := newStore(t)
	packed, err := Manifests(objects(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), &State{}, record(1, Deployed), packed); err != nil {
		t.Fatal(err)
	}
	got, manifests, err := s.Get(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := record(1, Deployed)
	want.APIVersion, want.Kind = APIVersion, Kind
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(objects(2), manifests); diff != "" {
		t.Error(diff)
	}
	if err := s.Add(t.Context(), &State{}, record(1, Deployed), packed); !errors.Is(err, ErrConcurrent) {
		t.Errorf("a number that is taken: %v", err)
	}
	var none *NotFoundError
	if _, _, err := s.Get(t.Context(), 7); !errors.As(err, &none) || none.Revision != 7 {
		t.Errorf("a release that never was: %v", err)
	}
}

func TestStateComesBackAsItWas(t *testing.T) {
	s, _ := newStore(t)
	state, err := s.Load(t.Context())
	if err != nil || state.Last != 0 {
		t.Fatalf("state = %+v, err = %v", state, err)
	}
	state.Current, state.Last, state.Pending = 2, 3, 4
	state.Begun = &Begun{Doing: "rollback", Who: "me", When: time.Unix(1000, 0).UTC(), TreeDigest: "sha256:t"}
	state.Inventory = []Entry{{Ref: apply.Ref{Group: "batch", Kind: "Job", Namespace: "ns", Name: "j"}, Receipt: apply.Receipt{UID: "u", ResourceVersion: "5", Generation: 1, Sum: "s"}, Release: 2}}
	packed, _ := Manifests(objects(1))
	if err := s.Add(t.Context(), &State{}, record(2, Deployed), packed); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state.Bundle = "sha256:b" // from the record
	if diff := cmp.Diff(state, got, cmpopts.IgnoreUnexported(State{})); diff != "" {
		t.Error(diff)
	}
}

func TestOfTwoPromotionsAtOnceOneStops(t *testing.T) {
	s, d := newStore(t)
	state, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), &State{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), state); !errors.Is(err, ErrConcurrent) {
		t.Errorf("both are the first: %v", err)
	}
	d.PrependReactor("update", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(configMaps.GroupResource(), "x", errors.New("changed"))
	})
	later := &State{version: "1"}
	if err := s.Save(t.Context(), later); !errors.Is(err, ErrConcurrent) {
		t.Errorf("one wrote since: %v", err)
	}
}

// lossy is a server that writes what it is sent, or another's data in its
// place, and loses its next answer.
type lossy struct {
	lose    bool
	theirs  bool
	version int
}

func (l *lossy) serve(d *fake.FakeDynamicClient) {
	write := func(a clienttesting.Action) (bool, runtime.Object, error) {
		obj := a.(clienttesting.CreateAction).GetObject().(*unstructured.Unstructured).DeepCopy()
		l.version++
		if obj.GetResourceVersion() != "" && obj.GetResourceVersion() != strconv.Itoa(l.version-1) {
			return true, nil, apierrors.NewConflict(a.GetResource().GroupResource(), obj.GetName(), errors.New("changed"))
		}
		obj.SetResourceVersion(strconv.Itoa(l.version))
		if l.theirs {
			obj.Object["data"] = map[string]any{}
		}
		err := d.Tracker().Create(a.GetResource(), obj, "ns")
		if a.GetVerb() == "update" {
			err = d.Tracker().Update(a.GetResource(), obj, "ns")
		}
		if l.lose {
			l.lose, err = false, apierrors.NewInternalError(errors.New("etcdserver: request timed out"))
		}
		return true, obj, err
	}
	d.PrependReactor("create", "*", write)
	d.PrependReactor("update", "*", write)
}

func TestAWriteWhoseAnswerIsLostIsFound(t *testing.T) {
	packed, _ := Manifests(objects(1))
	for _, c := range []struct {
		name  string
		saved bool // a state was saved before
		add   bool // a release is added; else the state is saved
	}{
		{name: "the first state"},
		{name: "a later state", saved: true},
		{name: "a release", add: true},
	} {
		for _, theirs := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, another's: %v", c.name, theirs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, d := newStore(t)
					server := &lossy{}
					server.serve(d)
					state := &State{Last: 1}
					if c.saved {
						if err := s.Save(t.Context(), state); err != nil {
							t.Fatal(err)
						}
					}
					server.lose, server.theirs, state.Last = true, theirs, 2
					write := func() error { return s.Save(t.Context(), state) }
					if c.add {
						write = func() error { return s.Add(t.Context(), state, record(1, Deployed), packed) }
					}
					if err := write(); errors.Is(err, ErrConcurrent) != theirs || !theirs && err != nil {
						t.Fatalf("err = %v", err)
					}
					if theirs || c.add {
						return
					}
					server.version, _ = strconv.Atoi(state.version)
					if err := s.Save(t.Context(), state); err != nil {
						t.Errorf("the next one: %v", err)
					}
				})
			})
		}
	}
}

func TestWhenTheStateIsLostTheRecordsTell(t *testing.T) {
	s, _ := newStore(t)
	packed, _ := Manifests(objects(1))
	for _, r := range []Record{record(1, Deployed), record(2, Deployed), record(3, Failed)} {
		if err := s.Add(t.Context(), &State{}, r, packed); err != nil {
			t.Fatal(err)
		}
	}
	state, err := s.Load(t.Context())
	if err != nil || state.Current != 2 || state.Last != 3 {
		t.Errorf("state = %+v, err = %v", state, err)
	}
	if e, ok := state.Find(apply.Ref{Group: "batch", Kind: "Job", Name: "j"}); !ok || e.Release != 2 {
		t.Errorf("the inventory = %+v, want what release 2 brought", state.Inventory)
	}
}

func TestTenReleasesAreKeptAndTheCurrentOneAlways(t *testing.T) {
	s, _ := newStore(t)
	packed, _ := Manifests(objects(1))
	for i := 1; i <= 14; i++ {
		status := Failed
		if i == 2 {
			status = Deployed
		}
		if err := s.Add(t.Context(), &State{}, record(i, status), packed); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Trim(t.Context(), &State{Current: 2}); err != nil {
		t.Fatal(err)
	}
	records, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, r := range records {
		got = append(got, r.Revision)
	}
	if diff := cmp.Diff([]int{2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPrevious(t *testing.T) {
	records := []Record{record(1, Deployed), record(2, Failed), record(3, Deployed), record(4, Deployed), record(5, Failed)}
	for _, c := range []struct {
		name  string
		state State
		want  int
	}{
		{"after a good release the good one before it", State{Current: 4, Last: 4}, 3},
		{"failed ones do not count", State{Current: 3, Last: 3}, 1},
		{"after a failed release the current one", State{Current: 4, Last: 5}, 4},
		{"after one that never ended the current one", State{Current: 4, Last: 4, Pending: 5}, 4},
		{"the first has none before it", State{Current: 1, Last: 1}, 0},
		{"nothing was deployed", State{Last: 2}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Previous(records, &c.state)
			if got != c.want || ok != (c.want > 0) {
				t.Errorf("previous = %d, %v", got, ok)
			}
		})
	}
}

func TestTheApplySetIDIsALabelAndTellsNamespacesApart(t *testing.T) {
	a, b := ID("digits", "one"), ID("digits", "two")
	if a == b || len(validation.IsValidLabelValue(a)) > 0 {
		t.Errorf("%s and %s", a, b)
	}
}
