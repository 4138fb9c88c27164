package preflight

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/component-helpers/auth/rbac/validation"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// cluster is an API server that lets its user do what the rules say, in
// namespace ns and, by the second list, everywhere. It counts requests.
type cluster struct {
	client   *apply.Client
	mu       sync.Mutex
	requests []string
}

func newCluster(t *testing.T, inNamespace, everywhere []rbacv1.PolicyRule, objects ...*unstructured.Unstructured) *cluster {
	t.Helper()
	c := &cluster{}
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	lists := map[schema.GroupVersionResource]string{
		{Version: "v1", Resource: "resourcequotas"}: "ResourceQuotaList", {Version: "v1", Resource: "limitranges"}: "LimitRangeList",
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}: "ValidatingWebhookConfigurationList",
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}:   "MutatingWebhookConfigurationList",
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}:                              "EndpointSliceList",
	}
	for gvk, s := range kindsServed {
		lists[s.resource] = gvk.Kind + "List"
	}
	var metas, full []runtime.Object
	for _, obj := range objects {
		full = append(full, obj)
		m := metadataOf(obj)
		m.TypeMeta = metav1.TypeMeta{APIVersion: obj.GetAPIVersion(), Kind: obj.GetKind()}
		metas = append(metas, &m)
	}
	d := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, full...)
	m := metadatafake.NewSimpleMetadataClient(scheme, metas...)
	allowed := func(ns string, r rbacv1.PolicyRule) bool {
		rules := everywhere
		if ns == "ns" {
			rules = slices.Concat(everywhere, inNamespace)
		}
		ok, _ := validation.Covers(rules, []rbacv1.PolicyRule{r})
		return ok
	}
	react := func(a clienttesting.Action) (bool, runtime.Object, error) {
		gvr := a.GetResource()
		c.mu.Lock()
		c.requests = append(c.requests, a.GetVerb()+" "+gvr.Resource)
		c.mu.Unlock()
		create, ok := a.(clienttesting.CreateAction)
		if ok && gvr == rulesReviews {
			review := create.GetObject().(*unstructured.Unstructured)
			rules := everywhere
			if ns, _, _ := unstructured.NestedString(review.Object, "spec", "namespace"); ns == "ns" {
				rules = slices.Concat(everywhere, inNamespace)
			}
			raw, _ := json.Marshal(rules)
			var items []any
			_ = json.Unmarshal(raw, &items)
			return true, &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"resourceRules": items, "incomplete": true}}}, nil
		}
		if ok && gvr == accessReviews {
			review := create.GetObject().(*unstructured.Unstructured)
			text := func(field string) string {
				s, _, _ := unstructured.NestedString(review.Object, "spec", "resourceAttributes", field)
				return s
			}
			n := need{group: text("group"), resource: text("resource"), verb: text("verb"), name: text("name")}
			return true, &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"allowed": allowed(text("namespace"), n.rule())}}}, nil
		}
		if ok && gvr == selfReviews {
			return true, &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"userInfo": map[string]any{"username": "system:serviceaccount:ci:deployer"}}}}, nil
		}
		n := need{group: gvr.Group, resource: gvr.Resource, verb: a.GetVerb()}
		ns := a.GetNamespace()
		if get, ok := a.(clienttesting.GetAction); ok {
			n.name = get.GetName()
			if gvr.Resource == "namespaces" {
				ns = n.name // as the server has it
			}
		}
		if !allowed(ns, n.rule()) {
			return true, nil, forbidden(n)
		}
		return false, nil, nil
	}
	d.PrependReactor("*", "*", react)
	m.PrependReactor("*", "*", react)
	c.client = &apply.Client{Dynamic: d, Metadata: m, Mapper: newMapper()}
	return c
}

// aNode has room for a bundle without GPUs.
const aNode = `{apiVersion: v1, kind: Node, metadata: {name: a}, status: {allocatable: {cpu: "1"}}}`

func (c *cluster) check(t *testing.T, manifests ...string) *Check {
	t.Helper()
	out := &Check{Client: c.client, Server: Server{Version: "v1.37.2"}, Project: "digits", Environment: "production", Namespace: "ns", Pull: pullsAll}
	for _, text := range manifests {
		out.Objects = append(out.Objects, object(t, text))
	}
	return out
}

var everything = []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}

func TestARemovalAsksForAllItsRightsFirst(t *testing.T) {
	ns := apply.Ref{Kind: "Namespace", Name: "ns"}
	removal := Removal{
		Deleted:  []apply.Ref{{Group: "batch", Kind: "Job", Namespace: "ns", Name: "j"}, {Kind: "Secret", Namespace: "ns", Name: "s"}, {Group: "scheduling.k8s.io", Kind: "PriorityClass", Name: "high"}, {Group: "gone.example.org", Kind: "Widget", Namespace: "ns", Name: "w"}},
		Disowned: []apply.Ref{ns},
	}
	record := []rbacv1.PolicyRule{
		{Verbs: []string{"get", "update", "delete"}, APIGroups: []string{""}, Resources: []string{"configmaps"}},
		{Verbs: []string{"list", "delete"}, APIGroups: []string{""}, Resources: []string{"secrets"}},
		{Verbs: []string{"get", "create", "update", "delete"}, APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}},
	}
	c := newCluster(t, nil, record)
	err := c.check(t).Permitted(t.Context(), removal)
	var failed *FailedError
	if !errors.As(err, &failed) || !failed.OnlyAccess() {
		t.Fatalf("err = %v", err)
	}
	expect(t, failed.Findings,
		"error patch namespaces/ns cluster-wide",
		"error delete, get priorityclasses.scheduling.k8s.io/high cluster-wide",
		"error get secrets in namespace ns",
		"error delete, get, list, watch jobs.batch in namespace ns")
	if !strings.Contains(failed.Role, "jobs") || strings.Contains(failed.Role, "widgets") {
		t.Errorf("the Role is\n%s", failed.Role)
	}
	if err := newCluster(t, nil, everything).check(t).Permitted(t.Context(), removal); err != nil {
		t.Errorf("with all rights: %v", err)
	}
}

// six is a bundle of six kinds in one namespace, claims among them.
var six = []string{
	`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`, `{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}`,
	`{apiVersion: v1, kind: Secret, metadata: {name: s}}`, `{apiVersion: v1, kind: Service, metadata: {name: s}}`,
	`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d}, spec: {storageClassName: "", accessModes: [ReadWriteOnce]}}`,
	`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}`,
	`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}`,
}

func TestSixKindsTakeFifteenRequestsAtMost(t *testing.T) {
	c := newCluster(t, nil, everything, object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`),
		object(t, aNode))
	check := c.check(t, six...)
	report, err := check.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := check.Err(report); err != nil {
		t.Error(err)
	}
	// The version was asked for on connecting.
	if n := len(c.requests) + 1; n > 15+1 { // a plan saves the Job and the namespace
		t.Errorf("%d requests:\n%s", n, strings.Join(c.requests, "\n"))
	}
	first := len(c.requests)
	check.Known = map[apply.Ref]bool{}
	for _, obj := range check.Objects {
		check.Known[apply.RefOf(obj)] = true
	}
	if _, err := check.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := len(c.requests) - first; again > 9 {
		t.Errorf("%d requests for a bundle that the inventory knows:\n%s", again, strings.Join(c.requests[first:], "\n"))
	}
}

func TestWithoutRightsAllIsSaidAndNothingFails(t *testing.T) {
	c := newCluster(t, nil, nil)
	check := c.check(t, six...)
	report, err := check.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var failed *FailedError
	if !errors.As(check.Err(report), &failed) || !failed.OnlyAccess() || failed.Role == "" {
		t.Fatalf("err = %v", check.Err(report))
	}
	for _, want := range []string{
		"not permitted: create, get, list, patch, watch deployments.apps in namespace ns", "not permitted: create, delete, get, list, patch secrets in namespace ns",
		"not permitted: create, delete, get, update leases.coordination.k8s.io in namespace ns",
	} {
		if !strings.Contains(failed.Error(), want) {
			t.Errorf("%q is not said:\n%v", want, failed)
		}
	}
	said := map[string]bool{}
	for _, f := range report {
		if f.Level == Warning && strings.Contains(f.Message, "could not be checked") {
			said[f.Check] = true
		}
	}
	for _, check := range []string{CheckOwners, CheckQuota, CheckLimits, CheckDevices, CheckSecurity, CheckWebhooks} {
		if !said[check] {
			t.Errorf("nothing says that %s could not be checked", check)
		}
	}
}

// granted reads the YAML back: the rules by namespace, "" for cluster-wide.
func granted(t *testing.T, text string) (rules map[string][]rbacv1.PolicyRule, kinds []string) {
	t.Helper()
	rules = map[string][]rbacv1.PolicyRule{}
	for _, part := range strings.Split(text, "---\n") {
		var doc struct {
			Kind     string
			Metadata metav1.ObjectMeta
			Rules    []rbacv1.PolicyRule
			Subjects []rbacv1.Subject
		}
		if err := yaml.UnmarshalStrict([]byte(part), &map[string]any{}); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(part), &doc); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, doc.Kind)
		if doc.Rules != nil {
			rules[doc.Metadata.Namespace] = append(rules[doc.Metadata.Namespace], doc.Rules...)
		}
		for _, s := range doc.Subjects {
			if s.Kind != "ServiceAccount" || s.Namespace != "ci" || s.Name != "deployer" || s.APIGroup != "" {
				t.Errorf("subject = %+v", s)
			}
		}
	}
	return rules, kinds
}

func TestTheRoleIsEnoughAndTheLeast(t *testing.T) {
	bundle := append([]string{
		`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader}, rules: [{apiGroups: [""], resources: [pods/log], verbs: [get]}]}`,
		`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader}, roleRef: {kind: Role, name: reader}}`,
		`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: viewer}, roleRef: {kind: ClusterRole, name: view}}`,
		`{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}}`,
	}, six...)
	space := object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`)
	without := newCluster(t, nil, nil, space).check(t, bundle...)
	if _, err := without.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	rules, kinds := granted(t, without.role)
	if diff := cmp.Diff([]string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}, kinds); diff != "" {
		t.Error(diff)
	}
	run := func(inNamespace, everywhere []rbacv1.PolicyRule) error {
		check := newCluster(t, inNamespace, everywhere, space).check(t, bundle...)
		report, err := check.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report {
			if f.Check == CheckAccess && f.Level == Warning {
				return fmt.Errorf("%s", f)
			}
		}
		return check.Err(report)
	}
	if err := run(rules["ns"], rules[""]); err != nil {
		t.Fatalf("with the Role: %v\n%s", err, without.role)
	}
	// Any one verb less is noticed, by an error or a warning.
	for ns, list := range rules {
		for i, r := range list {
			for _, verb := range r.Verbs {
				for _, resource := range r.Resources {
					less := map[string][]rbacv1.PolicyRule{"": slices.Clone(rules[""]), "ns": slices.Clone(rules["ns"])}
					less[ns] = slices.Delete(less[ns], i, i+1)
					for _, piece := range validation.BreakdownRule(r) {
						if piece.Verbs[0] != verb || piece.Resources[0] != resource {
							less[ns] = append(less[ns], piece)
						}
					}
					if ok, _ := validation.Covers(less[ns], []rbacv1.PolicyRule{{Verbs: []string{verb}, Resources: []string{resource}, APIGroups: r.APIGroups, ResourceNames: r.ResourceNames}}); ok {
						continue // another rule has it
					}
					if err := run(less["ns"], less[""]); err == nil {
						t.Errorf("nobody misses %s %s %v in %q", verb, resource, r.ResourceNames, ns)
					}
				}
			}
		}
	}
}

func TestTheRoleOfANamespaceThatIsMissing(t *testing.T) {
	c := newCluster(t, []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"namespaces"}}}, nil)
	check := c.check(t, append([]string{`{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`}, six...)...)
	check.MakesNamespace = true
	role, err := check.Role(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	rules, kinds := granted(t, role)
	if diff := cmp.Diff([]string{"Namespace", "Role", "RoleBinding"}, kinds); diff != "" {
		t.Errorf("the administrator makes it, and nobody else has to: %s\n%s", diff, role)
	}
	if len(rules[""]) > 0 {
		t.Errorf("cluster-wide: %v", rules[""])
	}
}

func TestAPinnedClusterHasToBeReadForWhoItIs(t *testing.T) {
	check := newCluster(t, nil, nil).check(t, six...)
	check.Pinned = true
	role, err := check.Role(t.Context(), "system:serviceaccount:ci:deployer")
	if err != nil {
		t.Fatal(err)
	}
	rules, _ := granted(t, role)
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"kube-system"}, Verbs: []string{"get"}}}
	if diff := cmp.Diff(want, rules["kube-system"]); diff != "" {
		t.Error(diff)
	}
}

func TestWhoHoldsTheRulesNeedsNoBind(t *testing.T) {
	view := object(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: view}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}`)
	binding := `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: viewer}, roleRef: {kind: ClusterRole, name: view}}`
	most := []rbacv1.PolicyRule{{Verbs: []string{"get", "list", "watch", "create", "patch", "update", "delete"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}
	for _, c := range []struct {
		name       string
		everywhere []rbacv1.PolicyRule
		want       bool // refused
	}{
		{"the role may be read, and its rules are held", most, false},
		{"bind alone", append(slices.Clone(most), rbacv1.PolicyRule{Verbs: []string{"bind"}, APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, ResourceNames: []string{"view"}}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := newCluster(t, nil, c.everywhere, view).check(t, binding)
			report, err := check.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			refused := slices.ContainsFunc(report, func(f Finding) bool { return f.Check == CheckAccess })
			if refused != c.want {
				t.Errorf("refused = %v: %v", refused, lines(report))
			}
		})
	}
	t.Run("neither", func(t *testing.T) {
		some := []rbacv1.PolicyRule{{Verbs: []string{"get", "list", "watch", "create", "patch", "update", "delete"}, APIGroups: []string{"*"}, Resources: []string{"rolebindings", "configmaps", "secrets", "leases", "namespaces"}}}
		check := newCluster(t, nil, some, view).check(t, binding)
		report, err := check.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := check.Err(report); err == nil || !strings.Contains(err.Error(), "bind clusterroles.rbac.authorization.k8s.io/view in namespace ns") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestAUserIsASubject(t *testing.T) {
	for user, want := range map[string]map[string]any{
		"system:serviceaccount:ci:deployer": {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"},
		"anna@example.com":                  {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "anna@example.com"},
	} {
		if diff := cmp.Diff(want, subjectOf(user)); diff != "" {
			t.Error(diff)
		}
	}
	check := &Check{Project: "digits"}
	if check.roleName("a") == check.roleName("b") {
		t.Error("two users share a Role, and the second takes it from the first")
	}
}

func TestCompactSaysTheSameInFewRules(t *testing.T) {
	got := compact([]need{
		{resource: "services", verb: "patch"},
		{resource: "services", verb: "get"},
		{resource: "pods", verb: "list"},
		{resource: "configmaps", verb: "get"},
		{resource: "configmaps", verb: "patch"},
		{resource: "namespaces", name: "a", verb: "get"},
		{resource: "namespaces", name: "b", verb: "get"},
	})
	want := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps", "services"}, Verbs: []string{"get", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"a", "b"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMissingVerbsOfOneResourceAreOneLine(t *testing.T) {
	got := merge([]need{{resource: "secrets", namespace: "ns", verb: "list"}, {group: "batch", resource: "jobs", namespace: "ns", verb: "create"}, {resource: "secrets", namespace: "ns", verb: "get"}, {resource: "nodes", verb: "get"}})
	want := []string{"get nodes cluster-wide", "get, list secrets in namespace ns", "create jobs.batch in namespace ns"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
