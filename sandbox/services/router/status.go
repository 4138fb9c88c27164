package router

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// served says whether the router serves a listener. Its port is that of the
// Service in front: the router has one port for all.
func served(l gateway.Listener) bool { return l.Protocol == gateway.HTTPProtocolType }

func gatewayStatus(g *gateway.Gateway, attached map[gateway.SectionName]int32) gateway.GatewayStatus {
	status := gateway.GatewayStatus{Addresses: g.Status.Addresses}
	invalid := false
	for _, l := range g.Spec.Listeners {
		s := gateway.ListenerStatus{
			Name: l.Name, AttachedRoutes: attached[l.Name],
			SupportedKinds: []gateway.RouteGroupKind{{Group: ptr(gateway.Group(gateway.GroupName)), Kind: "HTTPRoute"}},
		}
		ok, reason, message := true, gateway.ListenerReasonAccepted, "the listener is served"
		if !served(l) {
			ok, reason, message = false, gateway.ListenerReasonUnsupportedProtocol, "this router serves HTTP, not "+string(l.Protocol)
			invalid = true
		}
		programmed := gateway.ListenerReasonProgrammed
		if !ok {
			programmed = gateway.ListenerReasonInvalid
		}
		s.Conditions = []metav1.Condition{
			condition(string(gateway.ListenerConditionAccepted), ok, string(reason), message, g.Generation),
			condition(string(gateway.ListenerConditionProgrammed), ok, string(programmed), message, g.Generation),
			condition(string(gateway.ListenerConditionResolvedRefs), true, string(gateway.ListenerReasonResolvedRefs), "the listener refers to nothing", g.Generation),
		}
		status.Listeners = append(status.Listeners, s)
	}
	reason, message := gateway.GatewayReasonAccepted, "the Gateway is served"
	if invalid {
		reason, message = gateway.GatewayReasonListenersNotValid, "some listeners are not served"
	}
	status.Conditions = []metav1.Condition{
		condition(string(gateway.GatewayConditionAccepted), true, string(reason), message, g.Generation),
		condition(string(gateway.GatewayConditionProgrammed), true, string(gateway.GatewayReasonProgrammed), message, g.Generation),
	}
	return status
}

// carryTimes keeps the time of a condition's last change where it is as it
// was, and gives the others the present one.
func carryTimes(next, before []metav1.Condition, now metav1.Time) []metav1.Condition {
	for i := range next {
		next[i].LastTransitionTime = now
		for _, old := range before {
			if old.Type == next[i].Type && old.Status == next[i].Status {
				next[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return next
}

// gatewayUpdate returns the status to write, false when it is there already.
func gatewayUpdate(g *gateway.Gateway, next gateway.GatewayStatus, now metav1.Time) (gateway.GatewayStatus, bool) {
	next.Conditions = carryTimes(next.Conditions, g.Status.Conditions, now)
	for i := range next.Listeners {
		var before []metav1.Condition
		for _, old := range g.Status.Listeners {
			if old.Name == next.Listeners[i].Name {
				before = old.Conditions
			}
		}
		next.Listeners[i].Conditions = carryTimes(next.Listeners[i].Conditions, before, now)
	}
	return next, !equality.Semantic.DeepEqual(next, g.Status)
}

// routeUpdate returns the parents to write: what other controllers say of the
// route, and what this one does; false when that is there already.
func routeUpdate(route *gateway.HTTPRoute, ours []gateway.RouteParentStatus, now metav1.Time) ([]gateway.RouteParentStatus, bool) {
	next := slices.DeleteFunc(slices.Clone(route.Status.Parents), func(p gateway.RouteParentStatus) bool { return p.ControllerName == Controller })
	for _, p := range ours {
		var before []metav1.Condition
		for _, old := range route.Status.Parents {
			if old.ControllerName == Controller && equality.Semantic.DeepEqual(old.ParentRef, p.ParentRef) {
				before = old.Conditions
			}
		}
		p.Conditions = carryTimes(slices.Clone(p.Conditions), before, now)
		next = append(next, p)
	}
	return next, !equality.Semantic.DeepEqual(next, route.Status.Parents)
}

func ptr[T any](v T) *T { return &v }
