package apply

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

// dryRun answers every dry run with what was sent, or with an error; it fails
// the test on a real write.
func dryRun(t *testing.T, answer error) func(clienttesting.Action) (bool, runtime.Object, error) {
	return func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchActionImpl)
		if len(patch.PatchOptions.DryRun) != 1 {
			t.Errorf("a real write of %s", patch.Name)
		}
		if patch.PatchOptions.Force != nil {
			t.Errorf("%s is forced", patch.Name)
		}
		if answer != nil {
			return true, nil, answer
		}
		obj := &unstructured.Unstructured{}
		return true, obj, obj.UnmarshalJSON(patch.Patch)
	}
}

func invalid(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 422, Reason: metav1.StatusReasonInvalid,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: "spec.template", Message: message}}},
	}}
}

func conflict() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 409, Reason: metav1.StatusReasonConflict,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{
			Type: metav1.CauseTypeFieldManagerConflict, Field: ".data.a", Message: `conflict with "kubectl-edit" using v1`,
		}}},
	}}
}

const configMapA = `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: "1"}}`

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name   string
		live   []string
		want   []string
		owned  bool
		answer error
		action Action
		err    func(error) bool // its type
		text   string
	}{
		{name: "what is not there is created", want: []string{configMapA}, owned: true, action: Create},
		{name: "what is the same is unchanged", live: []string{configMapA}, want: []string{configMapA}, owned: true, action: Unchanged},
		{name: "what differs is changed", live: []string{strings.Replace(configMapA, `"1"`, `"0"`, 1)}, want: []string{configMapA}, owned: true, action: Update},
		{name: "what is somebody else's is refu", live: []string{configMapA}, want: []string{configMapA}, err: is[*ForeignError], text: "ConfigMap/c in ns"},
		{name: "a conflict names field and manager", live: []string{configMapA}, want: []string{configMapA}, owned: true, answer: conflict(), err: is[*ConflictError], text: `.data.a belongs to "kubectl-edit" (kubectl edit)`},
		{name: "an immutable field is a replacement", live: []string{configMapA}, want: []string{configMapA}, owned: true, answer: invalid("Invalid value: …: field is immutable"), action: Replace},
		{name: "a mistake is not taken for an immutable field", live: []string{configMapA}, want: []string{configMapA}, owned: true, answer: invalid("Required value"), err: is[*ObjectError]},
		{name: "a kind that nobody serves is named", want: []string{`{apiVersion: example.com/v1, kind: Widget, metadata: {name: w, namespace: ns}}`}, owned: true, err: is[*UnservedError], text: "Widget of example.com/v1"},
		{name: "objects of a namespace that comes along are created unseen", want: []string{configMapA, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`}, owned: true, action: Create},
	} {
		t.Run(c.name, func(t *testing.T) {
			var live, want []*unstructured.Unstructured
			for _, text := range c.live {
				live = append(live, object(t, text))
			}
			for _, text := range c.want {
				want = append(want, object(t, text))
			}
			client, d := newClient(t, live...)
			d.PrependReactor("patch", "*", dryRun(t, c.answer))
			plan, err := client.Diff(t.Context(), want, Options{Manager: "m", Owned: func(Ref, metav1.Object) bool { return c.owned }})
			if c.err != nil {
				if err == nil || !c.err(err) || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("err = %v, want another type, or %q", err, c.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, change := range plan.Changes {
				if change.Action != c.action {
					t.Errorf("%s: %s, want %s", change.Ref, change.Action, c.action)
				}
			}
		})
	}
}

func is[T error](err error) bool {
	var e T
	return errors.As(err, &e)
}

func TestAllObjectionsComeTogether(t *testing.T) {
	client, d := newClient(t, object(t, configMapA), object(t, strings.ReplaceAll(configMapA, "name: c,", "name: d,")))
	d.PrependReactor("patch", "*", dryRun(t, nil))
	_, err := client.Diff(t.Context(), []*unstructured.Unstructured{object(t, configMapA), object(t, strings.ReplaceAll(configMapA, "name: c,", "name: d,"))},
		Options{Owned: func(Ref, metav1.Object) bool { return false }})
	if err == nil || !strings.Contains(err.Error(), "ConfigMap/c") || !strings.Contains(err.Error(), "ConfigMap/d") {
		t.Errorf("err = %v", err)
	}
}

func TestStagesInOrder(t *testing.T) {
	var objects []*unstructured.Unstructured
	for _, kind := range []string{"batch/v1 Job", "apps/v1 Deployment", "v1 Service", "example.com/v1 Widget", "v1 ConfigMap", "rbac.authorization.k8s.io/v1 Role", "apiextensions.k8s.io/v1 CustomResourceDefinition", "v1 Namespace"} {
		version, kind, _ := strings.Cut(kind, " ")
		objects = append(objects, object(t, `{apiVersion: `+version+`, kind: `+kind+`, metadata: {name: x}}`))
	}
	Sort(objects)
	var got []string
	for _, obj := range objects {
		got = append(got, obj.GetKind())
	}
	want := []string{"Namespace", "CustomResourceDefinition", "ConfigMap", "Role", "Service", "Widget", "Deployment", "Job"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestApplyWritesOnlyWhatDiffersAndNeverOverANewObject(t *testing.T) {
	live := object(t, strings.Replace(configMapA, `"1"`, `"0"`, 1))
	live.SetUID("uid-1")
	same := object(t, strings.ReplaceAll(configMapA, "name: c,", "name: same,"))
	client, d := newClient(t, live, same)
	var sent []map[string]any
	d.PrependReactor("patch", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchActionImpl)
		obj := &unstructured.Unstructured{}
		if len(patch.PatchOptions.DryRun) == 0 {
			var content map[string]any
			if err := json.Unmarshal(patch.Patch, &content); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, content)
		}
		return true, obj, obj.UnmarshalJSON(patch.Patch)
	})
	o := Options{Manager: "m"}
	plan, err := client.Diff(t.Context(), []*unstructured.Unstructured{object(t, configMapA), same}, o)
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := client.Apply(t.Context(), plan, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(sent) != 1 || sent[0]["metadata"].(map[string]any)["uid"] != "uid-1" {
		t.Errorf("sent %v, want the changed object alone, with the UID that was seen", sent)
	}
	if len(receipts) != 2 {
		t.Errorf("%d receipts, want one an object", len(receipts))
	}
}

func TestUnservedIsNotRetriedAsForbidden(t *testing.T) {
	client, _ := newClient(t)
	_, _, err := client.Resource(schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "K"})
	if !isUnserved(err) {
		t.Errorf("err = %v", err)
	}
}
