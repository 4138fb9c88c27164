package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// conflictsWith is what the server answers, in its own words.
func conflictsWith(messages ...string) error {
	var causes []metav1.StatusCause
	for _, m := range messages {
		causes = append(causes, metav1.StatusCause{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.replicas", Message: "conflict with " + m})
	}
	return apierrors.NewApplyConflict(causes, "Apply failed")
}

func TestAConflictNamesFieldManagerAndWriter(t *testing.T) {
	for message, want := range map[string]string{
		`"kubectl" with subresource "scale" using apps/v1 at 2026-01-01T00:00:00Z`: `.spec.replicas belongs to "kubectl" (kubectl scale)`,
		`"kubectl" using apps/v1`: `.spec.replicas belongs to "kubectl" (kubectl apply --server-side)`,
		`"kube-controller-manager" with subresource "scale" using apps/v1`: `.spec.replicas belongs to "kube-controller-manager" (a HorizontalPodAutoscaler)`,
		`"kueue" using batch/v1`: `.spec.replicas belongs to "kueue" (Kueue, the queue)`,
		`"my \"own\" tool"`:      `.spec.replicas belongs to "my \"own\" tool"`,
		`something new`:          `.spec.replicas belongs to "something new"`,
	} {
		e := conflictOf(Ref{Kind: "Deployment", Name: "d"}, conflictsWith(message))
		if diff := cmp.Diff("Deployment/d: "+want, e.Error()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWhoseFieldsAreTakenOver(t *testing.T) {
	for _, c := range []struct {
		name     string
		managers []string
		named    []string
		forced   bool
	}{
		{name: "a person's, unasked", managers: []string{`"kubectl-edit" using v1`}},
		{name: "a person's, named", managers: []string{`"kubectl-edit" using v1`}, named: []string{"kubectl-edit"}, forced: true},
		{name: "two, one named", managers: []string{`"kubectl-edit" using v1`, `"helm" using v1`}, named: []string{"kubectl-edit"}},
		{name: "two, both named", managers: []string{`"kubectl-edit" using v1`, `"helm" using v1`}, named: []string{"kubectl-edit", "helm"}, forced: true},
		{name: "client-side kubectl apply", managers: []string{`"kubectl-client-side-apply" using v1`}, forced: true},
		{name: "nobody's apply", managers: []string{`"before-first-apply" using v1`}, forced: true},
		{name: "client-side kubectl apply and an autoscaler", managers: []string{`"kubectl-client-side-apply" using v1`, `"kube-controller-manager" with subresource "scale" using v1`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, d := newClient(t, object(t, configMapA))
			forced := false
			d.PrependReactor("patch", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				patch := a.(clienttesting.PatchActionImpl)
				if patch.PatchOptions.Force == nil {
					return true, nil, conflictsWith(c.managers...)
				}
				forced = true
				obj := &unstructured.Unstructured{}
				return true, obj, obj.UnmarshalJSON(patch.Patch)
			})
			want := object(t, strings.Replace(configMapA, `"1"`, `"2"`, 1))
			o := Options{Manager: "m", TakeOver: c.named}
			plan, err := client.Diff(t.Context(), []*unstructured.Unstructured{want}, o)
			if forced != c.forced || is[*ConflictError](err) == c.forced {
				t.Fatalf("forced = %v, err = %v", forced, err)
			}
			if !c.forced {
				return
			}
			if _, err := client.Apply(t.Context(), plan, o, nil); err != nil {
				t.Error(err)
			}
			// Consent is for the managers that were named, not for whoever came since.
			if _, err := client.Apply(t.Context(), plan, Options{Manager: "m", TakeOver: []string{"somebody-else"}}, nil); len(c.named) > 0 && !is[*ConflictError](err) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestFieldsOfClientSideApplyBecomeOurs(t *testing.T) {
	there := object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns, uid: u, resourceVersion: "5"}, data: {a: "1", b: "left over"}}`)
	there.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "kubectl-client-side-apply", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:a":{},"f:b":{}}}`),
	}})
	client, d := newClient(t, there)
	var patches []string
	d.PrependReactor("patch", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		patch := a.(clienttesting.PatchActionImpl)
		if len(patch.PatchOptions.DryRun) == 0 {
			patches = append(patches, string(patch.PatchType)+" "+string(patch.Patch))
		}
		return true, there, nil // the dry run sees no change, since b is not ours yet
	})
	o := Options{Manager: "m"}
	plan, err := client.Diff(t.Context(), []*unstructured.Unstructured{object(t, configMapA)}, o)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Changes[0].Action != Update || !plan.Changes[0].Inherits {
		t.Fatalf("%+v", plan.Changes[0])
	}
	if _, err := client.Apply(t.Context(), plan, o, nil); err != nil {
		t.Fatal(err)
	}
	if len(patches) != 2 || !strings.Contains(patches[0], `"manager":"m","operation":"Apply"`) || !strings.Contains(patches[1], `"uid":"u"`) {
		t.Errorf("patches = %v", patches)
	}
}

func TestOnlyImmutabilityIsTakenForIt(t *testing.T) {
	for _, c := range []struct {
		name     string
		messages []string
		fields   int
	}{
		{"a Job's template", []string{`Invalid value: {…}: field is immutable`}, 1},
		{"a transition rule of a CRD", []string{"Invalid value: spec is immutable"}, 1},
		{"a RoleBinding", []string{"Invalid value: {…}: cannot change roleRef"}, 1},
		{"a StatefulSet", []string{"Forbidden: updates to statefulset spec for fields other than 'replicas', …"}, 1},
		{"a mistake", []string{"Required value"}, 0},
		{"an immutable field and a mistake", []string{"field is immutable", "Required value"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 422, Reason: metav1.StatusReasonInvalid, Details: &metav1.StatusDetails{}}}
			for _, m := range c.messages {
				err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Field: "spec", Message: m})
			}
			if got := immutableFields(err); len(got) != c.fields {
				t.Errorf("fields = %v", got)
			}
		})
	}
}
