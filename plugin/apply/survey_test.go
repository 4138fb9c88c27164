package apply

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

const member = "set=one"

// configMap is one of the release in namespace ns, as it is sent.
func configMap(t *testing.T, name, value string) *unstructured.Unstructured {
	t.Helper()
	return object(t, fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: ns, labels: {set: one}}, data: {a: %q}}`, name, value))
}

// live is an object as the cluster has it, with a receipt of how it came there.
func live(obj *unstructured.Unstructured) (*unstructured.Unstructured, Receipt) {
	l := obj.DeepCopy()
	l.SetUID(types.UID("uid-" + obj.GetName()))
	l.SetResourceVersion("7")
	return l, receiptOf(obj, l)
}

// TestWhatIsAsked counts the questions that a plan costs.
func TestWhatIsAsked(t *testing.T) {
	const n = 10
	for _, c := range []struct {
		name string
		// change edits what is wanted, what is there and what is known of it.
		change    func(want []*unstructured.Unstructured, live map[string]*unstructured.Unstructured, known map[Ref]Receipt) []*unstructured.Unstructured
		forbidden bool
		asked     string
		actions   string
	}{
		{name: "nothing changed", asked: "1 list", actions: "10 unchanged"},
		{
			name: "one changed: what a LIST brought is not read again", asked: "1 list, 1 patch", actions: "9 unchanged, 1 update",
			change: func(want []*unstructured.Unstructured, _ map[string]*unstructured.Unstructured, _ map[Ref]Receipt) []*unstructured.Unstructured {
				_ = unstructured.SetNestedField(want[3].Object, "2", "data", "a")
				return want
			},
		},
		{
			name: "one in a list too large to bring whole", asked: "1 get, 1 list, 1 patch", actions: "9 unchanged, 1 update",
			change: func(want []*unstructured.Unstructured, _ map[string]*unstructured.Unstructured, _ map[Ref]Receipt) []*unstructured.Unstructured {
				_ = unstructured.SetNestedField(want[3].Object, strings.Repeat("x", wholeBytes), "data", "a")
				return want
			},
		},
		{
			name: "somebody wrote to one", asked: "1 get, 1 list, 1 patch", actions: "9 unchanged, 1 update",
			change: func(want []*unstructured.Unstructured, live map[string]*unstructured.Unstructured, _ map[Ref]Receipt) []*unstructured.Unstructured {
				live["c4"].SetResourceVersion("8")
				_ = unstructured.SetNestedField(live["c4"].Object, "theirs", "data", "a")
				return want
			},
		},
		{
			name: "one was deleted", asked: "1 get, 1 list, 1 patch", actions: "1 create, 9 unchanged",
			change: func(want []*unstructured.Unstructured, live map[string]*unstructured.Unstructured, _ map[Ref]Receipt) []*unstructured.Unstructured {
				delete(live, "c4")
				return want
			},
		},
		{
			name: "all were deleted: one stands for the others", asked: "2 list, 1 patch", actions: "1 create, 9 create like it",
			change: func(want []*unstructured.Unstructured, live map[string]*unstructured.Unstructured, _ map[Ref]Receipt) []*unstructured.Unstructured {
				clear(live)
				return want
			},
		},
		{
			name: "a first apply", asked: "1 list, 1 patch", actions: "1 create, 9 create like it",
			change: func(want []*unstructured.Unstructured, live map[string]*unstructured.Unstructured, known map[Ref]Receipt) []*unstructured.Unstructured {
				clear(live)
				clear(known)
				return want
			},
		},
		{
			name: "a first apply over objects that are there", asked: "10 get, 1 list, 10 patch", actions: "10 unchanged",
			change: func(want []*unstructured.Unstructured, _ map[string]*unstructured.Unstructured, known map[Ref]Receipt) []*unstructured.Unstructured {
				clear(known)
				return want
			},
		},
		{
			name: "one is new", asked: "1 get, 1 list, 1 patch", actions: "1 create, 10 unchanged",
			change: func(want []*unstructured.Unstructured, _ map[string]*unstructured.Unstructured, _ map[Ref]Receipt) []*unstructured.Unstructured {
				return append(want, configMap(t, "new", "1"))
			},
		},
		{name: "lists are forbidden", forbidden: true, asked: "10 get, 1 list, 10 patch", actions: "10 unchanged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []*unstructured.Unstructured
			there, known := map[string]*unstructured.Unstructured{}, map[Ref]Receipt{}
			for i := range n {
				obj := configMap(t, fmt.Sprintf("c%d", i), "1")
				want = append(want, obj)
				there[obj.GetName()], known[RefOf(obj)] = live(obj)
			}
			if c.change != nil {
				want = c.change(want, there, known)
			}
			var objects []*unstructured.Unstructured
			for _, obj := range there {
				objects = append(objects, obj)
			}
			client, d := newClient(t, objects...)
			d.PrependReactor("patch", "*", dryRun(t, nil))
			m := outlinesOf(objects)
			client.Metadata = m
			if c.forbidden {
				m.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", nil)
				})
			}
			plan, err := client.Diff(t.Context(), want, Options{Manager: "m", Receipts: known, Members: client.Members(member)})
			if err != nil {
				t.Fatal(err)
			}
			var asked, actions []string
			for _, a := range slices.Concat(d.Actions(), m.Actions()) {
				asked = append(asked, a.GetVerb())
			}
			for _, change := range plan.Changes {
				action := string(change.Action)
				if change.Like {
					action += " like it"
				}
				actions = append(actions, action)
			}
			if diff := cmp.Diff([]string{c.asked, c.actions}, []string{tally(asked), tally(actions)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// outlinesOf returns a metadata client of the objects.
func outlinesOf(objects []*unstructured.Unstructured) *fake.FakeMetadataClient {
	scheme := fake.NewTestScheme()
	_ = metav1.AddMetaToScheme(scheme)
	var outlines []runtime.Object
	for _, obj := range objects {
		p := &metav1.PartialObjectMetadata{}
		_ = runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, p)
		outlines = append(outlines, p)
	}
	return fake.NewSimpleMetadataClient(scheme, outlines...)
}

// tally counts words: "1 get, 2 list".
func tally(words []string) string {
	count := map[string]int{}
	for _, w := range words {
		count[w]++
	}
	var out []string
	for w, n := range count {
		out = append(out, fmt.Sprintf("%d %s", n, w))
	}
	slices.SortFunc(out, func(a, b string) int {
		return strings.Compare(a[strings.Index(a, " "):], b[strings.Index(b, " "):])
	})
	return strings.Join(out, ", ")
}

func TestOfANamespaceThatComesAlongOneObjectOfAKindIsTriedElsewhere(t *testing.T) {
	client, d := newClient(t)
	d.PrependReactor("patch", "*", dryRun(t, nil))
	var tried []string
	d.PrependReactor("create", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		create := a.(clienttesting.CreateActionImpl)
		if len(create.CreateOptions.DryRun) != 1 {
			t.Errorf("a real write")
		}
		obj := create.Object.(*unstructured.Unstructured)
		tried = append(tried, obj.GetNamespace()+"/"+obj.GetName())
		if obj.GetKind() == "Secret" {
			return true, nil, invalid("Required value")
		}
		return true, obj, nil
	})
	space := object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`)
	plan, err := client.Diff(t.Context(), []*unstructured.Unstructured{space, configMap(t, "a", "1"), configMap(t, "b", "1")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"default/a"}, tried); diff != "" {
		t.Error(diff)
	}
	if c := plan.Changes[1]; c.Action != Create || !strings.Contains(c.Unverified, "namespace default") {
		t.Errorf("%s is %s, %q", c.Ref, c.Action, c.Unverified)
	}
	secret := object(t, `{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}}`)
	if _, err := client.Diff(t.Context(), []*unstructured.Unstructured{space, secret}, Options{}); !is[*ObjectError](err) {
		t.Errorf("what is wrong with the object itself: %v", err)
	}
}

func TestMembersAreFoundByOneList(t *testing.T) {
	a, _ := live(configMap(t, "a", "1"))
	b, _ := live(configMap(t, "b", "1"))
	other := configMap(t, "c", "1")
	other.SetLabels(nil)
	client, d := newClient(t, a, b, other)
	members := client.Members(member)
	refs := []Ref{RefOf(a), RefOf(b), RefOf(other), {Kind: "ConfigMap", Namespace: "ns", Name: "gone"}, {Group: "example.com", Kind: "Widget", Namespace: "ns", Name: "unserved"}}
	for range 2 {
		found, err := members.Find(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 2 || found[refs[0]].GetUID() != "uid-a" || found[refs[1]] == nil {
			t.Errorf("found = %v", found)
		}
	}
	if n := len(d.Actions()); n != 1 {
		t.Errorf("%d questions", n)
	}
}
