package preflight

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

func TestAReportIsAnErrorWhenItHoldsOne(t *testing.T) {
	var report Report
	report.add(CheckServer, Info, nil, "", "v1")
	report.add(CheckAccess, Error, nil, "ask", "a")
	report.add(CheckDevices, Warning, nil, "", "w")
	report.add(CheckAccess, Error, nil, "ask", "b")
	var failed *FailedError
	if !errors.As(report.Err(), &failed) || len(failed.Findings) != 2 || !failed.OnlyAccess() {
		t.Errorf("err = %v", report.Err())
	}
	if diff := cmp.Diff([]string{"ask"}, failed.Next()); diff != "" {
		t.Error(diff)
	}
	if err := report[:1].Err(); err != nil {
		t.Error(err)
	}
}

// Scripts read this: a field that is renamed breaks them.
func TestFindingsAreStableAsJSON(t *testing.T) {
	var report Report
	report.add(CheckQuota, Error, object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}}`), "ask", "short")
	raw, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"check":"quota","level":"error","message":"short","object":{"group":"batch","kind":"Job","namespace":"ns","name":"j"},"next":"ask"}]`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

func TestServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		server Server
		want   []string
	}{
		{"the same minor", Server{Version: "v1.37.0"}, []string{"info Kubernetes v1.37.0"}},
		{"one behind, of a provider", Server{Version: "v1.36.3-gke.100"}, []string{"info Kubernetes"}},
		{"two behind", Server{Version: "v1.35.1"}, []string{"warning outside what the client library for 1.37 supports"}},
		{"two ahead", Server{Version: "v1.39+"}, []string{"warning outside"}},
		{"before server-side apply", Server{Version: "v1.20.1"}, []string{"error no server-side apply"}},
		{"no version", Server{Version: "main"}, []string{"warning nobody knows"}},
		{"a clock that is a minute ahead", Server{Version: "v1.37.0", Ahead: time.Minute}, []string{"info Kubernetes", "warning is 1m0s ahead of"}},
		{"a clock that is behind", Server{Version: "v1.37.0", Ahead: -time.Hour}, []string{"info Kubernetes", "warning 1h0m0s behind"}},
		{"a second is none", Server{Version: "v1.37.0", Ahead: time.Second}, []string{"info Kubernetes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, (&Check{Server: c.server}).server(nil), c.want...)
		})
	}
}

func TestTheClockOfAnAnswer(t *testing.T) {
	before := time.Date(2026, 5, 1, 12, 0, 0, 900e6, time.UTC)
	after := before.Add(200 * time.Millisecond)
	for date, want := range map[string]time.Duration{
		before.Format(http.TimeFormat):                   0, // whole seconds, cut off
		before.Add(time.Minute).Format(http.TimeFormat):  58 * time.Second,
		before.Add(-time.Minute).Format(http.TimeFormat): -59 * time.Second,
		"":         0,
		"yestoday": 0,
	} {
		if got := ahead(date, before, after); got != want {
			t.Errorf("%q: %v, want %v", date, got, want)
		}
	}
}

// The skew is measured from the library that is linked.
func TestTheClientIsAsOldAsItsLibrary(t *testing.T) {
	raw, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "k8s.io/client-go v0.37."; !strings.Contains(string(raw), want) || clientMinor != 37 {
		t.Errorf("clientMinor is %d and go.mod has another client-go", clientMinor)
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []string
		want    []string
	}{
		{"served", []string{`{apiVersion: batch/v1, kind: Job, metadata: {name: j}}`}, nil},
		{"an operator that we know", []string{`{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: j}}`, `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: k}}`}, []string{"error JobSet brings it"}},
		{"kinds of a shared group", []string{`{apiVersion: kubeflow.org/v1beta1, kind: Experiment, metadata: {name: j}}`, `{apiVersion: kubeflow.org/v1, kind: PyTorchJob, metadata: {name: j}}`}, []string{"error Katib brings it", "error Training Operator v1 brings it"}},
		{"an operator that nobody knows", []string{`{apiVersion: example.com/v1, kind: Thing, metadata: {name: j}}`}, []string{"error does not serve Thing of example.com/v1"}},
		{"another version is served", []string{`{apiVersion: batch/v1beta1, kind: CronJob, metadata: {name: j}}`}, []string{"error CronJob is served as v1"}},
		{"the bundle brings the CRD", []string{
			`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}, spec: {group: example.com, names: {kind: Thing}, versions: [{name: v1, served: true}]}}`,
			`{apiVersion: example.com/v1, kind: Thing, metadata: {name: j}}`,
		}, []string{"error does not serve CustomResourceDefinition"}},
		{"the bundle brings another version of the CRD", []string{
			`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}, spec: {group: example.com, names: {kind: Thing}, versions: [{name: v2, served: true}]}}`,
			`{apiVersion: example.com/v1, kind: Thing, metadata: {name: j}}`,
		}, []string{"error CustomResourceDefinition", "error Thing is served as v2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.objects...)
			expect(t, check.kinds(v), c.want...)
		})
	}
}

// Every operator whose CRDs people install beside this is known by name.
func TestOperatorsOfTheCRDsAtHand(t *testing.T) {
	shared := os.Getenv("KUBECTL_AI_SHARED")
	if shared == "" {
		shared = "../../../../shared"
	}
	files, _ := filepath.Glob(filepath.Join(shared, "crds", "*.yaml"))
	if len(files) == 0 {
		t.Logf("no CRDs under %s/crds: a list of groups stands for them", shared)
		for _, group := range []string{"jobset.x-k8s.io", "ray.io", "kueue.x-k8s.io", "trainer.kubeflow.org", "serving.kserve.io"} {
			if _, ok := operatorOf(schema.GroupKind{Group: group, Kind: "X"}); !ok {
				t.Errorf("nobody knows who brings %s", group)
			}
		}
	}
	for _, file := range files {
		group, _, _ := strings.Cut(filepath.Base(file), "_")
		if o, ok := operatorOf(schema.GroupKind{Group: group}); !ok || !strings.HasPrefix(o.url, "https://") {
			t.Errorf("nobody knows who brings kinds of %s", group)
		}
	}
}

func TestNamespaces(t *testing.T) {
	now := metav1.Now()
	for _, c := range []struct {
		name    string
		objects []string
		live    *namespace
		want    []string
	}{
		{"there", nil, &namespace{}, nil},
		{"missing", nil, &namespace{missing: true}, []string{"error does not exist and is not in the bundle"}},
		{"missing and brought", []string{`{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`}, &namespace{missing: true}, []string{"info is created"}},
		{"on its way out", nil, &namespace{PartialObjectMetadata: metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}}, []string{"error is being deleted"}},
		{"not to be read", nil, nil, []string{"warning may not look"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.objects...)
			v.namespaces["ns"] = c.live
			expect(t, check.namespaces(v), c.want...)
		})
	}
}

func TestSizesAndNames(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, c := range []struct {
		name, object string
		want         []string
	}{
		{"fine", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a.b, labels: {app: x}}, data: {a: b}}`, nil},
		{"a ConfigMap of more than 1 MiB", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: ` + strings.Repeat("x", maxData) + `, b: z}}`, []string{"error holds 1 MiB"}},
		{"a Secret just within, encoded above", `{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: ` + strings.Repeat("eHh4", maxData/3) + `}}`, nil},
		{"annotations", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {a: ` + strings.Repeat("x", maxAnnotations) + `}}}`, []string{"error 256 KiB"}},
		{"an object of more than etcd takes", `{apiVersion: example.com/v1, kind: Thing, metadata: {name: a}, spec: {a: ` + strings.Repeat("x", maxObject) + `}}`, []string{"error 1.50 MiB, and the server stores 1.5 MiB"}},
		{"a name", `{apiVersion: v1, kind: ConfigMap, metadata: {name: A_b}}`, []string{`error name "A_b"`}},
		{"a Service's name", `{apiVersion: v1, kind: Service, metadata: {name: a.b}}`, []string{`error name "a.b"`}},
		{"a Job's name", `{apiVersion: batch/v1, kind: Job, metadata: {name: ` + long + `}}`, []string{"error no more than 63"}},
		{"a CronJob's name", `{apiVersion: batch/v1, kind: CronJob, metadata: {name: ` + long[:53] + `}}`, []string{"error no more than 52"}},
		{"a ClusterRole's name", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: "system:a"}}`, nil},
		{"a label's value", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {app: "x y"}}}`, []string{`error label app="x y"`}},
		{"a label's key", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {"a/b/c": x}}}`, []string{`error label "a/b/c"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.object)
			expect(t, check.sizes(v), c.want...)
		})
	}
}

func TestOwners(t *testing.T) {
	labels := func(pairs ...string) func(*metav1.PartialObjectMetadata) {
		return func(m *metav1.PartialObjectMetadata) { m.Labels = map[string]string{pairs[0]: pairs[1]} }
	}
	manager := func(name string) func(*metav1.PartialObjectMetadata) {
		return func(m *metav1.PartialObjectMetadata) {
			m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: name}}
		}
	}
	for _, c := range []struct {
		name  string
		live  func(*metav1.PartialObjectMetadata)
		adopt []string
		want  []string
		next  string
	}{
		{name: "nobody's", live: manager("kubectl")},
		{name: "Flux", live: labels("kustomize.toolkit.fluxcd.io/name", "apps"), want: []string{"error Flux manages it, Kustomization /apps"}, next: "commit it to Git instead"},
		{name: "a HelmRelease of Flux", live: labels("helm.toolkit.fluxcd.io/name", "apps"), want: []string{"error HelmRelease /apps"}, next: "commit it to Git instead"},
		{name: "Flux by its field manager", live: manager("kustomize-controller"), want: []string{"error Flux manages it, by field manager kustomize-controller"}, next: "commit it to Git instead"},
		{name: "Argo CD", live: func(m *metav1.PartialObjectMetadata) {
			m.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "guestbook:apps/Deployment:ns/c"}
		}, want: []string{"error Argo CD manages it, Application guestbook"}, next: "commit it to Git instead"},
		{name: "Argo CD by its field manager", live: manager("argocd-controller"), want: []string{"error Argo CD manages it"}, next: "commit it to Git instead"},
		{name: "Helm", live: func(m *metav1.PartialObjectMetadata) {
			m.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm"}
			m.Annotations = map[string]string{"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "ns"}
		}, want: []string{"error Helm manages it, release ns/web"}, next: "take it out of the chart"},
		{name: "adopted", live: manager("argocd-controller"), adopt: []string{"ConfigMap/c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`)
			check.Adopt = c.adopt
			obj := check.Objects[0]
			v.live[apply.RefOf(obj)] = livesAs(obj, c.live)
			report := check.owners(v)
			expect(t, report, c.want...)
			if len(report) > 0 && !strings.Contains(report[0].Next, c.next) {
				t.Errorf("next = %q", report[0].Next)
			}
		})
	}
}

func TestDriftNamesWhoAndIsInOrder(t *testing.T) {
	report := Drift(map[apply.Ref][]string{{Kind: "Service", Namespace: "ns", Name: "b"}: nil, {Kind: "ConfigMap", Namespace: "ns", Name: "a"}: {"kubectl-edit"}})
	expect(t, report, "warning ConfigMap/a: changed by kubectl-edit since the last release", "warning Service/b: changed by somebody")
}

func TestPodSecurity(t *testing.T) {
	const good = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: c, image: i, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}}}`
	const plain = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}`
	const host = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {hostNetwork: true, containers: [{name: c, image: i}]}}}}`
	for _, c := range []struct {
		name    string
		objects []string
		labels  map[string]string
		want    []string
	}{
		{"no labels", []string{host}, nil, nil},
		{"restricted and fine", []string{good}, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}, nil},
		{"restricted and not", []string{plain}, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}, []string{"error violate Pod Security restricted"}},
		{"baseline lets it", []string{plain}, map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}, nil},
		{"only a warning", []string{plain}, map[string]string{"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"}, []string{"warning violate Pod Security restricted"}},
		{"the host's network", []string{host}, map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}, []string{"error hostNetwork=true"}},
		{"an older version of the policy", []string{plain}, map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.20"}, []string{"error restricted:v1.20"}},
		{"the bundle's own namespace", []string{plain, `{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: {pod-security.kubernetes.io/enforce: restricted}}}`}, nil, []string{"error restricted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.objects...)
			v.namespaces["ns"].Labels = c.labels
			expect(t, check.security(v), c.want...)
		})
	}
	t.Run("a namespace that may not be read", func(t *testing.T) {
		check, v := seen(t, plain, host)
		delete(v.namespaces, "ns")
		expect(t, check.security(v), "warning could not be checked")
	})
}
