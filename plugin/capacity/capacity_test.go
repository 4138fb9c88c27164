package capacity

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const gpu = "nvidia.com/gpu"

func amounts(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

// pod asks by its limits alone.
func pod(node string, limits corev1.ResourceList) *corev1.Pod {
	return Admitted(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p"},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Limits: limits}}}},
	})
}

func nodes(gpus ...string) []corev1.Node {
	var out []corev1.Node
	for i, n := range gpus {
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: string(rune('a' + i))}}
		node.Status.Allocatable = amounts(gpu, n, "cpu", "4", "pods", "10")
		out = append(out, node)
	}
	return out
}

func TestAGangIsPlacedUntilNothingIsLeft(t *testing.T) {
	for _, c := range []struct {
		name   string
		pods   int
		each   string
		placed int
	}{
		{"all of it", 6, "1", 6},
		{"one more than there are", 7, "1", 6},
		{"what is left in pieces is of no use", 2, "3", 1},
		{"more than any node has", 1, "5", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := Left(nodes("4", "4"), []corev1.Pod{*pod("a", amounts(gpu, "2")), *pod("", amounts(gpu, "4"))})
			room := before.Clone()
			if got := room.Place(GangOf(pod("", amounts(gpu, c.each)), c.pods)); got != c.placed {
				t.Errorf("%d placed, want %d", got, c.placed)
			}
			if left := before.Total(amounts(gpu, "1"))[gpu]; left.Value() != 6 {
				t.Errorf("the room before has %s", left.String())
			}
		})
	}
}

func TestQuotasThatAGangWouldExceed(t *testing.T) {
	quota := corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}}
	quota.Spec.Hard = amounts("requests.nvidia.com/gpu", "4", "pods", "10", "limits.memory", "1Gi")
	quota.Status.Used = amounts("requests.nvidia.com/gpu", "2", "pods", "1")
	asks := pod("", amounts(gpu, "1"))
	if over := Over([]corev1.ResourceQuota{quota}, asks, 2); len(over) > 0 {
		t.Errorf("it fits exactly: %v", over)
	}
	over := Over([]corev1.ResourceQuota{quota}, asks, 3)
	if len(over) != 1 || !strings.Contains(over[0], "ResourceQuota q: 2 of 4 requests.nvidia.com/gpu used, 3 more wanted") {
		t.Errorf("%v", over)
	}
	quota.Spec.Scopes = []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeBestEffort}
	if over := Over([]corev1.ResourceQuota{quota}, pod("", amounts("cpu", "1")), 99); len(over) > 0 {
		t.Errorf("it counts other pods: %v", over)
	}
}
