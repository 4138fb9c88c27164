package preflight

import (
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestWhichWebhooksHear(t *testing.T) {
	all := func(group, resource string, ops ...admissionv1.OperationType) []admissionv1.RuleWithOperations {
		return []admissionv1.RuleWithOperations{{Operations: ops, Rule: admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{resource}}}}
	}
	cluster := admissionv1.ClusterScope
	for _, c := range []struct {
		name string
		hook webhook
		want bool
	}{
		{"a Job", webhook{Rules: all("batch", "jobs", admissionv1.Create)}, true},
		{"everything", webhook{Rules: all("*", "*", admissionv1.OperationAll)}, true},
		{"everything with subresources", webhook{Rules: all("*", "*/*", admissionv1.Update)}, true},
		{"pods", webhook{Rules: all("", "pods", admissionv1.Create)}, false},
		{"deletions", webhook{Rules: all("batch", "jobs", admissionv1.Delete)}, false},
		{"other namespaces", webhook{Rules: all("batch", "jobs", admissionv1.Create), NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}}, false},
		{"this namespace", webhook{Rules: all("batch", "jobs", admissionv1.Create), NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}}, true},
		{"the namespace by name", webhook{Rules: all("batch", "jobs", admissionv1.Create), NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "ns"}}}, true},
		{"other labels", webhook{Rules: all("batch", "jobs", admissionv1.Create), ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}}, false},
		{"cluster-wide kinds", webhook{Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{"*"}, Resources: []string{"*"}, Scope: &cluster}}}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}`)
			v.namespaces["ns"].Labels = map[string]string{"team": "a"}
			if got := check.hears(v, c.hook, check.Objects[0]); got != c.want {
				t.Errorf("hears = %v", got)
			}
		})
	}
}

func TestWebhooksThatStandInTheWay(t *testing.T) {
	check, v := seen(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`)
	objects := check.Objects
	v.hooks = []hook{
		{configuration: "b", name: "quiet", sideEffects: admissionv1.SideEffectClassNone, objects: objects},
		{configuration: "a", name: "writes", sideEffects: admissionv1.SideEffectClassSome, objects: objects},
		{configuration: "c", name: "dead", sideEffects: admissionv1.SideEffectClassNoneOnDryRun, mustAnswer: true, service: "sys/hook", dead: true, objects: objects},
	}
	expect(t, check.webhooks(v),
		"error webhook writes (a) has side effects Some, so the server refuses a dry run of 1 objects",
		"warning webhook dead (c) must answer for 1 objects, and its Service sys/hook has no endpoint that is ready")
}

func TestAWebhookWithoutEndpoints(t *testing.T) {
	configuration := object(t, `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: v}, webhooks: [
  {name: dead.example.com, sideEffects: None, clientConfig: {service: {namespace: sys, name: dead}}, rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]},
  {name: alive.example.com, sideEffects: None, clientConfig: {service: {namespace: sys, name: alive}}, rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]},
  {name: lenient.example.com, failurePolicy: Ignore, sideEffects: None, clientConfig: {service: {namespace: sys, name: dead}}, rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]}]}`)
	configuration.SetNamespace("")
	slice := func(service, ready string) *unstructured.Unstructured {
		return object(t, `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: `+service+`, namespace: sys, labels: {kubernetes.io/service-name: `+service+`}}, endpoints: [{addresses: [10.0.0.1], conditions: {ready: `+ready+`}}]}`)
	}
	cluster := newCluster(t, nil, everything, object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`), configuration, slice("dead", "false"), slice("alive", "true"))
	report, err := cluster.check(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, slices.DeleteFunc(report, func(f Finding) bool { return f.Check != CheckWebhooks }),
		"warning webhook dead.example.com (v) must answer for 1 objects, and its Service sys/dead has no endpoint that is ready")
}
