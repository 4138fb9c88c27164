package components_test

import (
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
)

// end is who is at the other end of a connection.
type end struct {
	address   string
	inCluster bool
	own       bool              // of the tenant's namespace
	namespace map[string]string // its labels
	port      int32
}

// lets says whether a rule's peers and ports take in an end, as
// networking.k8s.io/v1 has it.
func lets(t *testing.T, e end, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) bool {
	t.Helper()
	chosen := func(s *metav1.LabelSelector, of map[string]string) bool {
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		return selector.Matches(labels.Set(of))
	}
	within := func(cidr string) bool {
		return netip.MustParsePrefix(cidr).Contains(netip.MustParseAddr(e.address))
	}
	if len(ports) > 0 && !slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == e.port }) {
		return false
	}
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		switch {
		case p.IPBlock != nil:
			return within(p.IPBlock.CIDR) && !slices.ContainsFunc(p.IPBlock.Except, within)
		case p.NamespaceSelector != nil:
			return e.inCluster && chosen(p.NamespaceSelector, e.namespace) && (p.PodSelector == nil || chosen(p.PodSelector, nil))
		}
		return e.own && chosen(p.PodSelector, nil)
	})
}

func TestATenantsPodsAreTheirOwn(t *testing.T) {
	for _, variant := range []string{components.Local, components.Production} {
		var policy networkingv1.NetworkPolicy
		object := find(t, form(t, "tenant", variant), "NetworkPolicy", "tenant")
		strictly(t, variant, object.Object, &policy)
		if !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) || !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) || len(policy.Spec.PodSelector.MatchLabels)+len(policy.Spec.PodSelector.MatchExpressions) > 0 {
			t.Errorf("%s leaves out pods or a direction: %+v", variant, policy.Spec)
		}
		own := end{address: "10.244.0.7", inCluster: true, own: true, namespace: map[string]string{"kubernetes.io/metadata.name": "tenant"}}
		other := end{address: "10.244.0.8", inCluster: true, namespace: map[string]string{"kubernetes.io/metadata.name": "another"}}
		shared := end{address: "10.244.0.9", inCluster: true, namespace: map[string]string{"kubectl-ai.dev/serves-tenants": "true"}}
		outside := end{address: "203.0.113.1", port: 443}
		for _, c := range []struct {
			name    string
			end     end
			in, out bool
		}{
			{"a pod of the person's", own, true, true},
			{"a pod of another's", other, false, true}, // whose own door is closed
			{"a gateway", shared, true, true},
			{"the world", outside, false, true},
			{"a cloud's metadata", end{address: "169.254.169.254", port: 80}, false, false},
			{"a cloud's metadata, IPv6", end{address: "fd00:ec2::254", port: 80}, false, false},
			{"a node's cache of names", end{address: "169.254.20.10", port: 53}, false, true},
		} {
			in := slices.ContainsFunc(policy.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool { return lets(t, c.end, r.From, r.Ports) })
			out := slices.ContainsFunc(policy.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return lets(t, c.end, r.To, r.Ports) })
			if in != c.in || out != c.out {
				t.Errorf("%s: %s may come in: %t, want %t; may be asked: %t, want %t", variant, c.name, in, c.in, out, c.out)
			}
		}
	}
}
