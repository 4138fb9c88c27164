package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

func runtimeClass(overhead corev1.ResourceList) *nodev1.RuntimeClass {
	return &nodev1.RuntimeClass{Overhead: &nodev1.Overhead{PodFixed: overhead}}
}

// podWith is a Job whose pod spec has the fields, beside one container with
// some of its own.
func podWith(fields, container string) string {
	return fmt.Sprintf(`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {%s containers: [{name: c, image: i%s}]}}}}`, fields, container)
}

func TestReferences(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []string
		there   []string // Kind/name
		want    []string
	}{
		{name: "nothing", objects: []string{podWith("", "")}},
		{name: "environment from a Secret", objects: []string{podWith("", ", envFrom: [{secretRef: {name: s}}]")}, want: []string{"error Secret/s is neither in the bundle nor in the cluster: container c takes its environment from it"}},
		{name: "a variable from a ConfigMap", objects: []string{podWith("", ", env: [{name: A, valueFrom: {configMapKeyRef: {name: m, key: k}}}]")}, want: []string{"error ConfigMap/m is neither in the bundle nor in the cluster: container c takes A from it"}},
		{name: "optional ones", objects: []string{podWith("volumes: [{name: v, secret: {secretName: s, optional: true}}],", ", envFrom: [{configMapRef: {name: m, optional: true}}]")}},
		{name: "in the cluster", objects: []string{podWith("", ", envFrom: [{secretRef: {name: s}}]")}, there: []string{"Secret/s"}},
		{name: "in the bundle", objects: []string{podWith("", ", envFrom: [{secretRef: {name: s}}]"), `{apiVersion: v1, kind: Secret, metadata: {name: s}}`}},
		{name: "in the bundle, in another namespace", objects: []string{podWith("", ", envFrom: [{secretRef: {name: s}}]"), `{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: other}}`}, want: []string{"error Secret/s"}},
		{name: "made by an operator", objects: []string{
			podWith("volumes: [{name: tls, secret: {secretName: tls}}, {name: s3, secret: {secretName: bucket}}],", ", envFrom: [{secretRef: {name: es}}, {configMapRef: {name: bucket}}]"),
			`{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: c}, spec: {secretName: tls}}`,
			`{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: es}, spec: {}}`,
			`{apiVersion: objectbucket.io/v1alpha1, kind: ObjectBucketClaim, metadata: {name: bucket}}`,
		}},
		{name: "volumes, also projected", objects: []string{podWith("volumes: [{name: a, configMap: {name: m}}, {name: b, projected: {sources: [{secret: {name: s}}, {configMap: {name: p}}]}}, {name: d, persistentVolumeClaim: {claimName: data}}],", "")}, want: []string{"error ConfigMap/m", "error Secret/s", "error ConfigMap/p", "error PersistentVolumeClaim/data"}},
		{name: "an account", objects: []string{podWith("serviceAccountName: trainer,", "")}, want: []string{"error ServiceAccount/trainer is neither in the bundle nor in the cluster: its pods run as it"}},
		{name: "the default account comes with the namespace", objects: []string{podWith("serviceAccountName: default,", "")}},
		{name: "a pull secret", objects: []string{podWith("imagePullSecrets: [{name: registry}],", "")}, want: []string{"warning Secret/registry"}},
		{name: "classes", objects: []string{podWith("priorityClassName: high, runtimeClassName: kata,", "")}, want: []string{"error PriorityClass high does not exist", "error RuntimeClass kata does not exist"}},
		{name: "a class of the bundle", objects: []string{podWith("priorityClassName: mine,", ""), `{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: mine}}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.objects...)
			for i := range v.pods {
				for _, r := range v.pods[i].references() {
					v.there[r.to] = absent
				}
			}
			for _, s := range c.there {
				kind, name, _ := strings.Cut(s, "/")
				v.there[apply.Ref{Kind: kind, Namespace: "ns", Name: name}] = present
			}
			for _, name := range []string{"high", "kata"} { // asked for, and not there
				v.priorityClasses[name], v.runtimeClasses[name] = nil, nil
			}
			expect(t, check.references(v), c.want...)
		})
	}
	t.Run("what may not be read is no error", func(t *testing.T) {
		check, v := seen(t, podWith("priorityClassName: high,", ", envFrom: [{secretRef: {name: s}}]"))
		v.blind[CheckReferences] = []string{"get secrets in namespace ns"}
		expect(t, check.references(v), "warning get secrets in namespace ns is not permitted")
	})
	t.Run("classes that exist", func(t *testing.T) {
		check, v := seen(t, podWith("priorityClassName: high,", ""))
		v.priorityClasses["high"] = &schedulingv1.PriorityClass{}
		expect(t, check.references(v))
	})
}

func TestStorage(t *testing.T) {
	class := func(name, provisioner string, standard bool) storagev1.StorageClass {
		s := storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner}
		if standard {
			s.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
		}
		return s
	}
	claim := func(spec string) string {
		return `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {` + spec + `}}`
	}
	two := `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {parallelism: 2, completions: 2, template: {spec: {volumes: [{name: d, persistentVolumeClaim: {claimName: data}}], containers: [{name: c, image: i}]}}}}`
	for _, c := range []struct {
		name    string
		objects []string
		classes []storagev1.StorageClass
		want    []string
	}{
		{"the default class", []string{claim("accessModes: [ReadWriteOnce]")}, []storagev1.StorageClass{class("fast", "x", true)}, nil},
		{"no default class", []string{claim("accessModes: [ReadWriteOnce]")}, []storagev1.StorageClass{class("fast", "x", false)}, []string{"error names no StorageClass, and the cluster has no default one"}},
		{"a class that is missing", []string{claim("storageClassName: nope")}, []storagev1.StorageClass{class("fast", "x", true)}, []string{"error StorageClass nope of claim data does not exist"}},
		{"bound by hand", []string{claim("volumeName: pv1"), `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: b}, spec: {storageClassName: ""}}`}, nil, nil},
		{"a class of the bundle", []string{claim("storageClassName: mine"), `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: mine}, provisioner: x}`}, nil, nil},
		{"a StatefulSet's claims", []string{`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {replicas: 3, volumeClaimTemplates: [{metadata: {name: d}, spec: {storageClassName: nope, accessModes: [ReadWriteOnce]}}], template: {spec: {containers: [{name: c, image: i}]}}}}`}, nil, []string{"error StorageClass nope of claim d does not exist"}},
		{"shared files from a folder of a node", []string{claim("accessModes: [ReadWriteMany]")}, []storagev1.StorageClass{class("local", "rancher.io/local-path", true)}, []string{"warning wants ReadWriteMany, and provisioner rancher.io/local-path of StorageClass local gives volumes to one node at a time"}},
		{"two pods and one node", []string{claim("accessModes: [ReadWriteOnce]"), two}, []storagev1.StorageClass{class("fast", "x", true)}, []string{"warning 2 pods mount claim data, and ReadWriteOnce keeps them on one node"}},
		{"two pods where one may", []string{claim("accessModes: [ReadWriteOncePod]"), two}, []storagev1.StorageClass{class("fast", "x", true)}, []string{"error ReadWriteOncePod lets one"}},
		{"two pods that share", []string{claim("accessModes: [ReadWriteMany]"), two}, []storagev1.StorageClass{class("nfs", "x", true)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.objects...)
			v.storageClasses, v.storageKnown = c.classes, true
			v.nodes = make([]corev1.Node, 2)
			expect(t, check.references(v), c.want...)
		})
	}
}

func TestQueues(t *testing.T) {
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: j, labels: {kueue.x-k8s.io/queue-name: research}}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}`
	for _, c := range []struct {
		name  string
		queue queue
		want  []string
	}{
		{"active", queue{cluster: "q"}, nil},
		{"no Kueue", queue{unserved: true}, []string{"error it names queue research, and the cluster has no Kueue"}},
		{"unknown queue", queue{missing: true}, []string{"error LocalQueue research does not exist in namespace ns"}},
		{"it leads nowhere", queue{cluster: "q", clusterMissing: true}, []string{"error ClusterQueue q, which does not exist"}},
		{"it admits nothing", queue{cluster: "q", stopped: "its stopPolicy is Hold"}, []string{"error LocalQueue research admits nothing: its stopPolicy is Hold"}},
		{"it may not be read", queue{forbidden: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, job)
			ref, _ := queueOf(check.Objects[0])
			v.queues[ref] = c.queue
			expect(t, check.queues(v), c.want...)
		})
	}
}

// What the server says of queues, and that three Secrets take one LIST.
func TestReadingQueuesAndReferences(t *testing.T) {
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: j, labels: {kueue.x-k8s.io/queue-name: research}}, spec: {template: {spec: {containers: [{name: c, image: i, envFrom: [{secretRef: {name: a}}, {secretRef: {name: b}}, {secretRef: {name: d}}]}]}}}}`
	local := `{apiVersion: kueue.x-k8s.io/v1beta2, kind: LocalQueue, metadata: {name: research}, spec: {clusterQueue: team}}`
	team := func(status string) string {
		return `{apiVersion: kueue.x-k8s.io/v1beta2, kind: ClusterQueue, metadata: {name: team}, status: {conditions: [{type: Active, status: "` + status + `", reason: FlavorNotFound, message: no flavor}]}}`
	}
	for _, c := range []struct {
		name    string
		objects []string
		want    string
	}{
		{"active", []string{local, team("True")}, ""},
		{"not active", []string{local, team("False")}, "its ClusterQueue team is not active: FlavorNotFound no flavor"},
		{"on hold", []string{strings.Replace(local, "clusterQueue", "stopPolicy: Hold, clusterQueue", 1), team("True")}, "its stopPolicy is Hold"},
		{"no ClusterQueue", []string{local}, "leads to ClusterQueue team, which does not exist"},
		{"no LocalQueue", nil, "LocalQueue research does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := []*unstructured.Unstructured{
				object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`), object(t, aNode),
				object(t, `{apiVersion: v1, kind: Secret, metadata: {name: a}}`), object(t, `{apiVersion: v1, kind: Secret, metadata: {name: b}}`),
			}
			for _, text := range c.objects {
				live = append(live, object(t, text))
			}
			cluster := newCluster(t, nil, everything, live...)
			report, err := cluster.check(t, job).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			queue, references := "", Report{}
			for _, f := range report {
				if f.Check == CheckQueue {
					queue = f.Message
				}
				if f.Check == CheckReferences {
					references = append(references, f)
				}
			}
			if !strings.Contains(queue, c.want) || (queue == "") != (c.want == "") {
				t.Errorf("said %q, want %q", queue, c.want)
			}
			expect(t, references, "error Secret/d is neither in the bundle nor in the cluster")
			secrets := slices.DeleteFunc(slices.Clone(cluster.requests), func(r string) bool { return !strings.HasSuffix(r, " secrets") })
			if diff := cmp.Diff([]string{"list secrets"}, secrets); diff != "" {
				t.Error(diff)
			}
		})
	}
}
