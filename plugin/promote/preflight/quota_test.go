package preflight

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

const fourGPUs = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {parallelism: 4, completions: 4, template: {spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 500m}, limits: {nvidia.com/gpu: 1, memory: 1Gi}}}]}}}}`

func quotaOf(hard, used corev1.ResourceList, edit func(*corev1.ResourceQuota)) []corev1.ResourceQuota {
	q := corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: "ns"}}
	q.Spec.Hard, q.Status.Hard, q.Status.Used = hard, hard, used
	if edit != nil {
		edit(&q)
	}
	return []corev1.ResourceQuota{q}
}

func scope(s corev1.ResourceQuotaScope, op corev1.ScopeSelectorOperator, values ...string) func(*corev1.ResourceQuota) {
	return func(q *corev1.ResourceQuota) {
		q.Spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{{ScopeName: s, Operator: op, Values: values}}}
	}
}

// What earlier runs hold is free when they give way, and only then.
func TestEarlierRunsThatGiveWayLeaveRoom(t *testing.T) {
	job := map[string]string{"job-name": "j-01234567"}
	for _, leaves := range []bool{false, true} {
		c, v := seen(t, fourGPUs)
		v.nodes = []corev1.Node{node("n", 4, nil)}
		v.running = []corev1.Pod{holder("n", 3, job), holder("n", 0, nil)}
		v.quotas["ns"] = quotaOf(amounts("requests.nvidia.com/gpu", "4"), amounts("requests.nvidia.com/gpu", "3"), nil)
		if leaves {
			c.Leaving = append(c.Leaving, object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j-01234567}}`))
			expect(t, c.quota(v))
			expect(t, c.devices(v), "info free: 4 nvidia.com/gpu")
			continue
		}
		expect(t, c.quota(v), "error 3 of 4 is used: 3 short")
		expect(t, c.devices(v), "error held by ns/holder (3)")
	}
}

func TestAQuotaIsReadAgainBeforeItRefuses(t *testing.T) {
	quotas := corev1.SchemeGroupVersion.WithResource("resourcequotas")
	for _, c := range []struct {
		name        string
		first, then string // GPUs used of four
		asked       int
		want        []string
	}{
		{name: "there is room", first: "0", asked: 0},
		{name: "what was deleted is counted a moment later", first: "3", then: "0", asked: 1},
		{name: "it was not deleted", first: "3", then: "3", asked: 1, want: []string{"error 3 of 4 is used: 3 short"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check, v := seen(t, fourGPUs)
				v.quotas["ns"] = quotaOf(amounts("requests.nvidia.com/gpu", "4"), amounts("requests.nvidia.com/gpu", c.first), nil)
				began, asked := time.Now(), 0
				d := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{quotas: "ResourceQuotaList"})
				d.PrependReactor("list", "resourcequotas", func(clienttesting.Action) (bool, runtime.Object, error) {
					asked++
					if since := time.Since(began); since != counting {
						t.Errorf("asked after %v", since)
					}
					q := object(t, `{apiVersion: v1, kind: ResourceQuota, metadata: {name: team, namespace: ns}, spec: {hard: {requests.nvidia.com/gpu: "4"}}, status: {used: {requests.nvidia.com/gpu: "`+c.then+`"}}}`)
					return true, &unstructured.UnstructuredList{Items: []unstructured.Unstructured{*q}}, nil
				})
				check.Client.Dynamic = d
				if err := check.recount(t.Context(), v); err != nil || asked != c.asked {
					t.Errorf("asked %d times: %v", asked, err)
				}
				expect(t, check.quota(v), c.want...)
			})
		})
	}
}

func TestQuota(t *testing.T) {
	claim := `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d}, spec: {storageClassName: fast, resources: {requests: {storage: 10Gi}}}}`
	const besteffort = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}`
	const urgent = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {priorityClassName: high, activeDeadlineSeconds: 60, containers: [{name: c, image: i}]}}}}`
	for _, c := range []struct {
		name    string
		objects []string
		quotas  []corev1.ResourceQuota
		there   bool // all objects are in the cluster
		want    []string
	}{
		{"just enough", []string{fourGPUs}, quotaOf(amounts("requests.nvidia.com/gpu", "6"), amounts("requests.nvidia.com/gpu", "2"), nil), false, nil},
		{"one GPU short", []string{fourGPUs}, quotaOf(amounts("requests.nvidia.com/gpu", "5"), amounts("requests.nvidia.com/gpu", "2"), nil), false, []string{"error ResourceQuota team in namespace ns: 4 more of requests.nvidia.com/gpu is needed, 2 of 5 is used: 1 short"}},
		{"what is there is used already", []string{fourGPUs}, quotaOf(amounts("requests.nvidia.com/gpu", "4"), amounts("requests.nvidia.com/gpu", "4"), nil), true, nil},
		{"cpu and its other name", []string{fourGPUs}, quotaOf(amounts("cpu", "1", "requests.cpu", "2"), nil, nil), false, []string{"error 2 more of cpu is needed, 0 of 1 is used: 1 short"}},
		{"limits", []string{fourGPUs}, quotaOf(amounts("limits.memory", "3Gi"), nil, nil), false, []string{"error 4Gi more of limits.memory is needed"}},
		{"pods", []string{fourGPUs}, quotaOf(amounts("pods", "3"), nil, nil), false, []string{"error 4 more of pods is needed"}},
		{"objects by count", []string{fourGPUs}, quotaOf(amounts("count/jobs.batch", "0"), nil, nil), false, []string{"error 1 more of count/jobs.batch is needed"}},
		{"the record of the release", nil, quotaOf(amounts("secrets", "10"), amounts("secrets", "10"), nil), false, []string{"error 1 more of secrets is needed"}},
		{"storage of a class", []string{claim}, quotaOf(amounts("fast.storageclass.storage.k8s.io/requests.storage", "5Gi", "slow.storageclass.storage.k8s.io/requests.storage", "0", "requests.storage", "5Gi"), nil, nil), false, []string{"error fast.storageclass", "error 10Gi more of requests.storage"}},
		{"load balancers and their ports", []string{`{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: LoadBalancer, ports: [{port: 1}, {port: 2}]}}`}, quotaOf(amounts("services.loadbalancers", "0", "services.nodeports", "1"), nil, nil), false, []string{"error services.loadbalancers", "error 2 more of services.nodeports"}},
		{"every container has to say its cpu", []string{besteffort}, quotaOf(amounts("limits.cpu", "10"), nil, nil), false, []string{"error wants every container to say its limits.cpu (c does not)"}},
		{"best effort in its scope", []string{besteffort}, quotaOf(amounts("pods", "0"), nil, scope(corev1.ResourceQuotaScopeBestEffort, corev1.ScopeSelectorOpExists)), false, []string{"error 1 more of pods"}},
		{"not best effort, out of that scope", []string{fourGPUs}, quotaOf(amounts("pods", "0"), nil, scope(corev1.ResourceQuotaScopeBestEffort, corev1.ScopeSelectorOpExists)), false, nil},
		{"not best effort", []string{fourGPUs}, quotaOf(amounts("pods", "0"), nil, func(q *corev1.ResourceQuota) {
			q.Spec.Scopes = []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeNotBestEffort}
		}), false, []string{"error 4 more of pods"}},
		{"terminating", []string{urgent}, quotaOf(amounts("pods", "0"), nil, scope(corev1.ResourceQuotaScopeTerminating, corev1.ScopeSelectorOpExists)), false, []string{"error 1 more of pods"}},
		{"not terminating", []string{urgent}, quotaOf(amounts("pods", "0"), nil, scope(corev1.ResourceQuotaScopeNotTerminating, corev1.ScopeSelectorOpExists)), false, nil},
		{"a priority class in scope", []string{urgent}, quotaOf(amounts("pods", "0"), nil, scope(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpIn, "high")), false, []string{"error 1 more of pods"}},
		{"another priority class", []string{urgent}, quotaOf(amounts("pods", "0"), nil, scope(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpNotIn, "high")), false, nil},
		{"no priority class", []string{besteffort}, quotaOf(amounts("pods", "0"), nil, scope(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpDoesNotExist)), false, []string{"error 1 more of pods"}},
		{"a scope nobody knows here counts nothing", []string{fourGPUs}, quotaOf(amounts("pods", "0"), nil, scope("Later", corev1.ScopeSelectorOpExists)), false, nil},
		{"a quota with a scope counts no objects", []string{`{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`}, quotaOf(amounts("configmaps", "0"), nil, scope(corev1.ResourceQuotaScopeTerminating, corev1.ScopeSelectorOpExists)), false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.objects...)
			v.quotas["ns"] = c.quotas
			for i := range v.pods {
				v.pods[i].there = c.there
			}
			if c.there {
				for _, obj := range check.Objects {
					v.live[apply.RefOf(obj)] = livesAs(obj, nil)
				}
			}
			expect(t, check.quota(v), c.want...)
		})
	}
}

func TestTheDefaultsOfALimitRangeCount(t *testing.T) {
	check, v := seen(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {parallelism: 3, completions: 3, template: {spec: {containers: [{name: c, image: i}]}}}}`)
	v.limitRanges["ns"] = []corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Default: amounts("cpu", "2"), DefaultRequest: amounts("cpu", "1")}}}}}
	v.quotas["ns"] = quotaOf(amounts("requests.cpu", "2", "limits.cpu", "6"), nil, nil)
	expect(t, check.quota(v), "error 3 more of requests.cpu is needed, 0 of 2 is used: 1 short")
}

func TestLimits(t *testing.T) {
	item := func(kind corev1.LimitType, edit func(*corev1.LimitRangeItem)) corev1.LimitRangeItem {
		i := corev1.LimitRangeItem{Type: kind}
		edit(&i)
		return i
	}
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {cpu: "2"}}}, {name: d, image: i, resources: {limits: {cpu: "2"}}}]}}}}`
	for _, c := range []struct {
		name, object string
		item         corev1.LimitRangeItem
		want         []string
	}{
		{"within", job, item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) { i.Max = amounts("cpu", "2"); i.Min = amounts("cpu", "100m") }), nil},
		{"above the most", job, item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) { i.Max = amounts("cpu", "1") }), []string{"error container c of Job/j: is limited to 2 of cpu, at most 1 is allowed", "error container d"}},
		{"below the least", job, item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) { i.Min = amounts("cpu", "1") }), []string{"error container c of Job/j: requests 500m of cpu, at least 1 is wanted"}},
		{"no limit where there is a most", job, item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) { i.Max = amounts("memory", "4Gi") }), []string{"error no limit of memory", "error container d"}},
		{"defaults fill in", job, item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) {
			i.Max, i.Default, i.DefaultRequest = amounts("memory", "4Gi"), amounts("memory", "4Gi"), amounts("memory", "1Gi")
		}), nil},
		{"the ratio", job, item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) { i.MaxLimitRequestRatio = amounts("cpu", "3") }), []string{"error container c of Job/j: limit 2 of cpu is more than 3 times the request 500m"}},
		{"a pod's sum", job, item(corev1.LimitTypePod, func(i *corev1.LimitRangeItem) { i.Max = amounts("cpu", "3") }), []string{"error a pod of Job/j: is limited to 4 of cpu, at most 3 is allowed"}},
		{"a claim", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d}, spec: {resources: {requests: {storage: 10Gi}}}}`, item(corev1.LimitTypePersistentVolumeClaim, func(i *corev1.LimitRangeItem) { i.Max = amounts("storage", "5Gi") }), []string{"error it asks for 10Gi of storage, and LimitRange lr allows any to 5Gi"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check, v := seen(t, c.object)
			v.limitRanges["ns"] = []corev1.LimitRange{{ObjectMeta: metav1.ObjectMeta{Name: "lr", Namespace: "ns"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{c.item}}}}
			expect(t, check.limits(v), c.want...)
		})
	}
}

func TestTheOverheadOfARuntimeClassCounts(t *testing.T) {
	_, v := seen(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {runtimeClassName: kata, containers: [{name: c, image: i, resources: {limits: {cpu: "1"}}}]}}}}`)
	v.runtimeClasses["kata"] = runtimeClass(amounts("cpu", "250m"))
	got := capacity.Usage(v.admitted(&v.pods[0]))["requests.cpu"]
	if want := resource.MustParse("1250m"); got.Cmp(want) != 0 {
		t.Errorf("requests.cpu = %s", got.String())
	}
}
