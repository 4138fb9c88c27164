package release

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// put places an object of testdata into the cluster.
func put(t *testing.T, s *Store, file string) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	resource := secrets
	if obj.GetKind() == "ConfigMap" {
		resource = configMaps
	}
	if _, err := s.Client.Resource(resource).Namespace("ns").Create(t.Context(), obj, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatEveryFormatWroteIsRead(t *testing.T) {
	job := Entry{Ref: apply.Ref{Group: "batch", Kind: "Job", Namespace: "ns", Name: "j"}, Receipt: apply.Receipt{UID: "u", ResourceVersion: "5", Generation: 1, Sum: "s"}, Release: 2}
	for format, want := range map[string]*State{
		"1": {
			Current: 2, Last: 3, Pending: 4, Unpruned: true, Bundle: "sha256:b",
			Inventory: []Entry{job, {Ref: apply.Ref{Kind: "Secret", Namespace: "ns", Name: "s"}, Release: 4}},
		},
		"2": {
			Format: 2, Current: 2, Last: 3, Pending: 4, Unpruned: true, Bundle: "sha256:b",
			Begun:     &Begun{Doing: "rollback", Who: "me", When: time.Unix(1000, 0).UTC(), TreeDigest: "sha256:t"},
			Claims:    []Entry{{Ref: apply.Ref{Kind: "PersistentVolumeClaim", Namespace: "ns", Name: "data-db-0"}, Receipt: apply.Receipt{UID: "c"}}},
			Inventory: []Entry{job, {Ref: apply.Ref{Kind: "Namespace", Name: "ns"}, Release: 4, Made: true}},
		},
	} {
		t.Run(format, func(t *testing.T) {
			s, _ := newStore(t)
			put(t, s, "release-"+format+".json")
			put(t, s, "state-"+format+".json")
			state, err := s.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, state, cmpopts.IgnoreUnexported(State{})); diff != "" {
				t.Error(diff)
			}
			got, manifests, err := s.Get(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			release := record(2, Deployed)
			release.APIVersion, release.Kind, release.RollbackTo = APIVersion, Kind, 1
			release.Context, release.Server = "kind-prod", "https://127.0.0.1:6443"
			if format == "2" {
				release.From = "staging/7"
			}
			if diff := cmp.Diff(release, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(objects(2), manifests); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatANewerFormatWroteIsRefused(t *testing.T) {
	s, d := newStore(t)
	put(t, s, "state-1.json")
	put(t, s, "release-1.json")
	var newer *NewerError
	state, _ := d.Resource(configMaps).Namespace("ns").Get(t.Context(), "kubectl-ai-digits", metav1.GetOptions{})
	_ = unstructured.SetNestedField(state.Object, `{"format":3,"current":"a shape of its own"}`, "data", stateKey)
	if _, err := d.Resource(configMaps).Namespace("ns").Update(t.Context(), state, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context()); !errors.As(err, &newer) || newer.Version != "3" {
		t.Errorf("the state: %v", err)
	}
	secret, _ := d.Resource(secrets).Namespace("ns").Get(t.Context(), "kubectl-ai-digits-v2", metav1.GetOptions{})
	_ = unstructured.SetNestedField(secret.Object, base64.StdEncoding.EncodeToString([]byte(`{"apiVersion":"kubectl-ai.dev/v2","revision":"a shape of its own"}`)), "data", recordKey)
	if _, err := d.Resource(secrets).Namespace("ns").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), 2); !errors.As(err, &newer) || newer.Version != "kubectl-ai.dev/v2" {
		t.Errorf("the record: %v", err)
	}
	if _, err := s.List(t.Context()); !errors.As(err, &newer) {
		t.Errorf("the list: %v", err)
	}
}

func TestADamagedReleaseLeavesTheOthersUsable(t *testing.T) {
	s, d := newStore(t)
	packed, _ := Manifests(objects(1))
	for i := 1; i <= 3; i++ {
		if err := s.Add(t.Context(), &State{}, record(i, Deployed), packed); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Save(t.Context(), &State{Current: 3, Last: 3}); err != nil {
		t.Fatal(err)
	}
	for key, number := range map[string]int{recordKey: 3, manifestsKey: 2} {
		secret, _ := d.Resource(secrets).Namespace("ns").Get(t.Context(), secretName("digits", number), metav1.GetOptions{})
		_ = unstructured.SetNestedField(secret.Object, base64.StdEncoding.EncodeToString([]byte("{")), "data", key)
		if _, err := d.Resource(secrets).Namespace("ns").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var damaged *DamagedError
	for _, number := range []int{2, 3} {
		if _, _, err := s.Get(t.Context(), number); !errors.As(err, &damaged) || damaged.Revision != number {
			t.Errorf("release %d: %v", number, err)
		}
	}
	if _, _, err := s.Get(t.Context(), 1); err != nil {
		t.Errorf("release 1: %v", err)
	}
	records, err := s.List(t.Context())
	if err != nil || len(records) != 3 || records[2].Status != Damaged || records[2].Revision != 3 || records[0].Status != Deployed {
		t.Errorf("the list = %+v, %v", records, err)
	}
	if state, err := s.Load(t.Context()); err != nil || state.Current != 3 || state.Bundle != "" {
		t.Errorf("the state = %+v, %v: it is known, and no bundle is taken for the one of release 3", state, err)
	}
}

// noise returns text that does not compress.
func noise(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestAReleaseOfAnySizeComesBackAsItWas(t *testing.T) {
	s, d := newStore(t)
	r := rand.New(rand.NewPCG(1, 2))
	var many []*unstructured.Unstructured
	for i := range 40 {
		many = append(many, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": fmt.Sprint(i)}, "data": map[string]any{"a": noise(r, 60_000)},
		}})
	}
	packed, err := Manifests(many)
	if err != nil {
		t.Fatal(err)
	}
	state := &State{uid: "parent"}
	big := record(1, Deployed)
	for i := range 2000 {
		big.Images[fmt.Sprint("Job/", i)] = noise(r, 60)
	}
	if err := s.Add(t.Context(), state, big, packed); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), state, record(2, Deployed), packed); err != nil {
		t.Fatal(err)
	}
	for number, want := range map[int]Record{1: big, 2: record(2, Deployed)} {
		got, manifests, err := s.Get(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		want.APIVersion, want.Kind = APIVersion, Kind
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(many, manifests); diff != "" {
			t.Error("the manifests differ")
		}
	}
	all, err := d.Resource(secrets).Namespace("ns").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 + (len(packed)+partLimit-1)/partLimit; len(all.Items) != want {
		t.Errorf("%d Secrets, want %d: two releases share their parts", len(all.Items), want)
	}
	for _, secret := range all.Items {
		if raw, _ := json.Marshal(secret.Object); len(raw) > partLimit*4/3+2000 || secret.Object["immutable"] != true {
			t.Errorf("Secret/%s has %d bytes, immutable %v", secret.GetName(), len(raw), secret.Object["immutable"])
		}
		if owners := secret.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != "parent" || owners[0].Name != "kubectl-ai-digits" {
			t.Errorf("Secret/%s belongs to %v", secret.GetName(), owners)
		}
	}

	t.Run("parts go with the last release that needs them", func(t *testing.T) {
		small, _ := Manifests(objects(1))
		for i := 3; i <= 2+Keep; i++ {
			if err := s.Add(t.Context(), state, record(i, Deployed), small); err != nil {
				t.Fatal(err)
			}
		}
		parts := func() int {
			found, err := d.Resource(secrets).Namespace("ns").List(t.Context(), metav1.ListOptions{LabelSelector: partLabel})
			if err != nil {
				t.Fatal(err)
			}
			return len(found.Items)
		}
		if err := s.Trim(t.Context(), &State{Current: 2}); err != nil || parts() == 0 {
			t.Errorf("release 2 lost its parts, %v", err)
		}
		if err := s.Trim(t.Context(), &State{Current: 12}); err != nil || parts() > 0 {
			t.Errorf("%d parts are left, %v", parts(), err)
		}
	})
}

// inventory makes entries as a real one has them.
func inventory(n int) []Entry {
	r := rand.New(rand.NewPCG(3, 4))
	hex := func(n int) string { return fmt.Sprintf("%x", []byte(noise(r, n)))[:n] }
	var out []Entry
	for i := range n {
		uid := make([]byte, 16)
		for i := range uid {
			uid[i] = byte(r.Uint32())
		}
		sum := make([]byte, 32)
		for i := range sum {
			sum[i] = byte(r.Uint32())
		}
		out = append(out, Entry{
			Ref:     apply.Ref{Kind: "ConfigMap", Namespace: "production", Name: fmt.Sprintf("settings-%05d-%s", i, hex(10))},
			Receipt: apply.Receipt{UID: types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", uid[:4], uid[4:6], uid[6:8], uid[8:10], uid[10:])), ResourceVersion: fmt.Sprint(100_000 + i), Generation: 1, Sum: fmt.Sprintf("%x", sum)},
			Release: 3,
		})
	}
	return out
}

func TestAnInventoryOfAnySizeComesBackAsItWas(t *testing.T) {
	for n, inline := range map[int]bool{0: true, 10_000: true, 30_000: false} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, d := newStore(t)
			state := &State{Last: 1, Inventory: inventory(n)}
			if err := s.Save(t.Context(), state); err != nil {
				t.Fatal(err)
			}
			obj, err := d.Resource(configMaps).Namespace("ns").Get(t.Context(), "kubectl-ai-digits", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			packed, err := value(obj, "binaryData", packedInventoryKey)
			if err != nil || len(packed) > partLimit || (packed != nil) != inline {
				t.Errorf("%d bytes inline, want any: %v, %v", len(packed), inline, err)
			}
			got, err := s.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(state.Inventory, got.Inventory, cmpopts.EquateEmpty()); diff != "" {
				t.Error("the inventory differs")
			}
			if err := s.Trim(t.Context(), got); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Load(t.Context()); err != nil {
				t.Errorf("after a trim: %v", err)
			}
		})
	}
}

func TestAReleaseThatWasRecordedBeforeItsRunDiedIsTheCurrentOne(t *testing.T) {
	for status, current := range map[Status]int{Deployed: 2, Failed: 1} {
		s, _ := newStore(t)
		packed, _ := Manifests(objects(1))
		if err := s.Save(t.Context(), &State{Current: 1, Last: 1, Pending: 2, Begun: &Begun{Doing: "promote"}}); err != nil {
			t.Fatal(err)
		}
		for _, r := range []Record{record(1, Deployed), record(2, status)} {
			if err := s.Add(t.Context(), &State{}, r, packed); err != nil {
				t.Fatal(err)
			}
		}
		records, state, err := s.History(t.Context())
		if err != nil || state.Current != current || state.Last != 2 || state.Pending != 0 || state.Unsettled != (status == Deployed) || len(records) != 2 {
			t.Errorf("%s: %+v, %+v, %v", status, state, records, err)
		}
	}
}

func TestHistoryTellsOfARunThatDidNotEnd(t *testing.T) {
	s, _ := newStore(t)
	when := time.Unix(1000, 0).UTC()
	if err := s.Save(t.Context(), &State{Last: 1, Pending: 2, Begun: &Begun{Doing: "rollback", Who: "me", When: when, TreeDigest: "sha256:t"}}); err != nil {
		t.Fatal(err)
	}
	records, _, err := s.History(t.Context())
	if err != nil || len(records) != 1 {
		t.Fatalf("%+v, %v", records, err)
	}
	if r := records[0]; r.Status != Interrupted || r.Revision != 2 || r.Who != "me" || !r.When.Equal(when) || !strings.Contains(r.Reason, "rollback") {
		t.Errorf("%+v", r)
	}
	_, lock, err := s.Lock(t.Context(), Holder{Who: "me", Host: "here", Doing: "rollback"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(t.Context())
	if records, _, err = s.History(t.Context()); err != nil || records[0].Status != Pending || !strings.Contains(records[0].Reason, "here") {
		t.Errorf("%+v, %v", records, err)
	}
}

func FuzzDecode(f *testing.F) {
	packed, _ := Manifests(objects(2))
	raw, _ := json.Marshal(record(2, Deployed))
	inventory, _ := pack([]byte(`[{"kind":"Secret","name":"s","release":4}]`))
	f.Add(raw, packed, inventory, `{"format":2,"current":1}`, "ab/2")
	f.Add([]byte(`{}`), []byte{}, []byte(`{`), `{"format":1}`, "")
	f.Fuzz(func(t *testing.T, record, manifests, inventory []byte, state, word string) {
		encoded := base64.StdEncoding.EncodeToString
		head := &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "s"},
			"data":     map[string]any{recordKey: encoded(record), packedRecordKey: encoded(record)},
		}}
		// What is read is a release, or one of two errors.
		var damaged *DamagedError
		var newer *NewerError
		if r, err := decodeRecord(head); err == nil && r.Revision < 1 || err != nil && !errors.As(err, &damaged) && !errors.As(err, &newer) {
			t.Errorf("%+v, %v", r, err)
		}
		if objects, err := manifestsOf(manifests); err == nil {
			again, err := Manifests(objects)
			if err != nil {
				t.Fatal(err)
			}
			back, err := manifestsOf(again)
			if err != nil || !cmp.Equal(objects, back, cmpopts.EquateEmpty()) {
				t.Errorf("%v is not what was written, %v", back, err)
			}
		}
		configMap := &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "c"}, "data": map[string]any{stateKey: state, inventoryKey: string(inventory)},
			"binaryData": map[string]any{packedInventoryKey: encoded(inventory)},
		}}
		if s, err := decodeState(configMap); err == nil && s.Format > stateFormat || err != nil && !errors.As(err, &damaged) && !errors.As(err, &newer) {
			t.Errorf("%+v, %v", s, err)
		}
		if _, n, err := partsWord(word); err == nil && (n < 1 || n > inflatedLimit/partLimit) {
			t.Errorf("%q is %d parts", word, n)
		}
	})
}
