package promote

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

func formerOf(t *testing.T, number int, text string) former {
	t.Helper()
	live := object(t, text)
	return former{release.Entry{Ref: apply.RefOf(live), Release: number}, live}
}

func TestSelectPrune(t *testing.T) {
	const (
		running  = `{apiVersion: batch/v1, kind: Job, metadata: {name: running, namespace: ns}, spec: {template: {spec: {volumes: [{name: v, configMap: {name: used}}], containers: [{name: c, envFrom: [{secretRef: {name: used-secret}}]}]}}}}`
		finished = `{apiVersion: batch/v1, kind: Job, metadata: {name: finished, namespace: ns}, spec: {template: {spec: {volumes: [{name: v, configMap: {name: done-with}}]}}}, status: {conditions: [{type: Complete, status: "True"}]}}`
	)
	for _, c := range []struct {
		name  string
		text  string
		was   int // release that rendered it last; 10 is being made
		also  []string
		prune bool
	}{
		{name: "a ConfigMap", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns}}`, was: 9, prune: true},
		{name: "a ConfigMap that a running Job mounts", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: used, namespace: ns}}`, was: 9},
		{name: "a Secret that a running Job reads", text: `{apiVersion: v1, kind: Secret, metadata: {name: used-secret, namespace: ns}}`, was: 9},
		{name: "a ConfigMap that only a finished Job mounted", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: done-with, namespace: ns}}`, was: 9, prune: true},
		{name: "a Namespace", text: `{apiVersion: v1, kind: Namespace, metadata: {name: x}}`, was: 1},
		{name: "a claim", text: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x, namespace: ns}}`, was: 1},
		{name: "a claim that was named", text: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x, namespace: ns}}`, was: 1, also: []string{"PersistentVolumeClaim/x"}, prune: true},
		{name: "a CRD", text: `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}}`, was: 1},
		{name: "a running Job, however old", text: `{apiVersion: batch/v1, kind: Job, metadata: {name: x, namespace: ns}}`, was: 1},
		{name: "a running Job that was named", text: `{apiVersion: batch/v1, kind: Job, metadata: {name: x, namespace: ns}}`, was: 9, also: []string{"Job/x"}, prune: true},
		{name: "a finished Job of the last release", text: finished, was: 9},
		{name: "a finished Job of the release before", text: finished, was: 8, prune: true},
		{name: "a failed Job of the release before", text: `{apiVersion: batch/v1, kind: Job, metadata: {name: x, namespace: ns}, status: {conditions: [{type: Failed, status: "True"}]}}`, was: 8, prune: true},
		{name: "our annotation", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, annotations: {kubectl-ai.dev/prune: keep}}}`, was: 1},
		{name: "Helm's annotation", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, annotations: {helm.sh/resource-policy: keep}}}`, was: 1},
		{name: "Flux's annotation", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}}`, was: 1},
		{name: "Argo CD's annotation among others", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, annotations: {argocd.argoproj.io/sync-options: "Validate=false, Prune=false"}}}`, was: 1},
		{name: "kpt's annotation", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, annotations: {cli-utils.sigs.k8s.io/on-remove: keep}}}`, was: 1},
		{name: "the lifecycle annotation", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, annotations: {client.lifecycle.config.k8s.io/deletion: detach}}}`, was: 1},
		{name: "an annotation that says something else", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, annotations: {helm.sh/resource-policy: delete}}}`, was: 1, prune: true},
		{name: "what another object controls", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u, controller: true}]}}`, was: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			prune, kept := selectPrune([]former{formerOf(t, c.was, c.text), formerOf(t, 5, running), formerOf(t, 9, finished)}, 10, c.also)
			name := apply.RefOf(object(t, c.text))
			pruned := slices.ContainsFunc(prune, func(f former) bool { return f.entry.Ref == name && f.entry.Release == c.was })
			stays := slices.ContainsFunc(kept, func(k Kept) bool { return k.Entry.Ref == name && k.Entry.Release == c.was && k.Reason != "" })
			if pruned != c.prune || stays == c.prune {
				t.Errorf("pruned %v, kept %v with a reason, want pruned %v", pruned, stays, c.prune)
			}
		})
	}
}

func TestOwned(t *testing.T) {
	const id = "applyset-x-v1"
	for _, c := range []struct {
		name, text string
		uid        types.UID // as the release knew it
		adopt      []string
		want       bool
	}{
		{name: "ours by label", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {applyset.kubernetes.io/part-of: applyset-x-v1}}}`, want: true},
		{name: "another release's", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {applyset.kubernetes.io/part-of: applyset-y-v1}, managedFields: [{manager: kubectl-ai, operation: Apply}]}}`, adopt: []string{"ConfigMap/x"}},
		{name: "written by us without the label", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, managedFields: [{manager: kubectl-ai, operation: Apply}]}}`, want: true},
		{name: "written by dev", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, managedFields: [{manager: kubectl-ai-dev, operation: Apply}]}}`},
		{name: "somebody else's", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, managedFields: [{manager: helm, operation: Update}]}}`},
		{name: "somebody else's, adopted", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}`, adopt: []string{"ConfigMap/x"}, want: true},
		{name: "ours, as it was", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, uid: u, labels: {applyset.kubernetes.io/part-of: applyset-x-v1}}}`, uid: "u", want: true},
		{name: "made anew by somebody else, with our label", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, uid: v, labels: {applyset.kubernetes.io/part-of: applyset-x-v1}, managedFields: [{manager: kubectl-create, operation: Update}]}}`, uid: "u"},
		{name: "made anew by somebody else, adopted", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, uid: v, labels: {applyset.kubernetes.io/part-of: applyset-x-v1}}}`, uid: "u", adopt: []string{"ConfigMap/x"}, want: true},
		{name: "made anew by us, and not recorded", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, uid: v, labels: {applyset.kubernetes.io/part-of: applyset-x-v1}, managedFields: [{manager: kubectl-ai, operation: Apply}]}}`, uid: "u", want: true},
		{name: "a namespace", text: `{apiVersion: v1, kind: Namespace, metadata: {name: x}}`, want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := owned(apply.RefOf(object(t, c.text)), object(t, c.text), c.uid, id, c.adopt); got != c.want {
				t.Errorf("owned = %v", got)
			}
		})
	}
}

func TestReferences(t *testing.T) {
	got := references(object(t, `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns}, spec: {
  serviceAccountName: sa, imagePullSecrets: [{name: pull}],
  volumes: [{name: a, configMap: {name: cm}}, {name: b, secret: {secretName: s}}, {name: c, persistentVolumeClaim: {claimName: pvc}}, {name: d, projected: {sources: [{secret: {name: ps}}, {configMap: {name: pc}}]}}],
  containers: [{name: c, env: [{name: X, valueFrom: {secretKeyRef: {name: es, key: k}}}], envFrom: [{configMapRef: {name: ec}}]}]}}`))
	var names []string
	for _, ref := range got {
		names = append(names, ref.Short())
	}
	slices.Sort(names)
	want := []string{"ConfigMap/cm", "ConfigMap/ec", "ConfigMap/pc", "PersistentVolumeClaim/pvc", "Secret/es", "Secret/ps", "Secret/pull", "Secret/s", "ServiceAccount/sa"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestSameServer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://127.0.0.1:6443", "https://localhost:6443/", true},
		{"https://Host.example", "host.example:443", true},
		{"https://127.0.0.1:6443", "https://127.0.0.1:6444", false},
		{"https://rancher.example/k8s/a", "https://rancher.example/k8s/b", false},
	} {
		if got := SameServer(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}
