package router

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// route reads a route's status from the cluster.
func routeIn(t *testing.T, client *fake.FakeDynamicClient) *gateway.HTTPRoute {
	t.Helper()
	obj, err := client.Resource(routes).Namespace("digits").Get(t.Context(), "r0", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	route := &gateway.HTTPRoute{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, route); err != nil {
		t.Fatal(err)
	}
	return route
}

func reasonOf(route *gateway.HTTPRoute, condition string) string {
	for _, p := range route.Status.Parents {
		for _, c := range p.Conditions {
			if p.ControllerName == Controller && c.Type == condition {
				return c.Reason
			}
		}
	}
	return ""
}

func TestTheStatusFollowsTheCluster(t *testing.T) {
	t.Parallel()
	o := given(t, gatewayText, canary)
	o.routes[0].Status.Parents = []gateway.RouteParentStatus{{ParentRef: gateway.ParentReference{Name: "elsewhere"}, ControllerName: "example.com/other"}}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		gateways: "GatewayList", routes: "HTTPRouteList", services: "ServiceList",
	})
	create := func(resource schema.GroupVersionResource, obj *unstructured.Unstructured) {
		t.Helper()
		if _, err := client.Resource(resource).Namespace("digits").Create(t.Context(), obj, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create(gateways, object(t, "gateway.networking.k8s.io/v1", "Gateway", o.gateway))
	create(routes, object(t, "gateway.networking.k8s.io/v1", "HTTPRoute", o.routes[0]))
	create(services, object(t, "v1", "Service", o.services[0]))
	w := &Watcher{Client: client, Namespace: "digits", Gateway: "route", Proxy: NewProxy(log.New(io.Discard, "", 0)), Log: log.New(t.Output(), "", 0)}
	before := httptest.NewRecorder()
	if w.Ready(before, nil); before.Code != 503 {
		t.Errorf("ready before anything was read: %d", before.Code)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	await := func(resolved string, touch func(i int)) *gateway.HTTPRoute {
		t.Helper()
		for i := 0; ; i++ {
			touch(i)
			if route := routeIn(t, client); reasonOf(route, "ResolvedRefs") == resolved {
				return route
			}
			select {
			case <-t.Context().Done():
				t.Fatal("the test ends")
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	first := await("BackendNotFound", func(int) {})
	canary := object(t, "v1", "Service", o.services[1])
	create(services, canary)
	second := await("ResolvedRefs", func(i int) {
		// The fake cluster loses what happens between a list and its watch.
		canary.SetAnnotations(map[string]string{"touched": strconv.Itoa(i)})
		if _, err := client.Resource(services).Namespace("digits").Update(t.Context(), canary, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	if len(second.Status.Parents) != 2 || second.Status.Parents[0].ControllerName != "example.com/other" {
		t.Errorf("what another controller said is gone: %+v", second.Status.Parents)
	}
	a, b := first.Status.Parents[1].Conditions, second.Status.Parents[1].Conditions
	if a[1].LastTransitionTime.IsZero() || !a[1].LastTransitionTime.Equal(&b[1].LastTransitionTime) {
		t.Errorf("Accepted did not change, its time did: %v, %v", a[1], b[1])
	}
	after := httptest.NewRecorder()
	if w.Ready(after, nil); after.Code != 200 {
		t.Errorf("not ready: %s", after.Body)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAStatusThatIsThereIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	o := given(t, gatewayText, canary)
	now := metav1.NewTime(time.Unix(1700000000, 0))
	p := makePlan(o, nil)
	var differs bool
	if o.gateway.Status, differs = gatewayUpdate(o.gateway, p.gateway, now); !differs {
		t.Error("an empty status is complete")
	}
	if o.routes[0].Status.Parents, differs = routeUpdate(o.routes[0], p.parents[o.routes[0]], now); !differs {
		t.Error("an empty status is complete")
	}
	later := metav1.NewTime(now.Add(time.Hour))
	p = makePlan(o, nil)
	if _, differs := gatewayUpdate(o.gateway, p.gateway, later); differs {
		t.Error("the Gateway's status is written again")
	}
	if _, differs := routeUpdate(o.routes[0], p.parents[o.routes[0]], later); differs {
		t.Error("the route's status is written again")
	}
	o.routes[0].Generation++
	p = makePlan(o, nil)
	if next, differs := routeUpdate(o.routes[0], p.parents[o.routes[0]], later); !differs || next[0].Conditions[0].LastTransitionTime != now {
		t.Errorf("a new generation: %v %+v", differs, next)
	}
	if left, differs := routeUpdate(o.routes[0], nil, later); !differs || len(left) != 0 {
		t.Errorf("a route that left keeps %+v", left)
	}
}

func object(t *testing.T, version, kind string, obj any) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	fields["apiVersion"], fields["kind"] = version, kind
	return &unstructured.Unstructured{Object: fields}
}
