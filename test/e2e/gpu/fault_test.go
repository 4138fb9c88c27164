//go:build e2e

package gpu

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

func quantity(s string) resource.Quantity { return resource.MustParse(s) }

// inPod runs a command line in a pod.
func inPod(t *testing.T, pod, command string) string {
	t.Helper()
	return inNode(t, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "exec", pod, "--", "sh", "-c", command)
}

// seen is the state that a pod sees.
func seen(t *testing.T, pod string) model.State {
	t.Helper()
	s, err := model.Decode([]byte(inPod(t, pod, "cat "+model.PodDir+"/"+model.StateFile)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sick waits until these GPUs, and no others, are unhealthy in the pod's
// status.
func sick(t *testing.T, pod string, want ...string) {
	t.Helper()
	eventually(t, func() error {
		p, err := client.CoreV1().Pods("default").Get(t.Context(), pod, meta.GetOptions{})
		if err != nil {
			return err
		}
		var got []string
		for _, status := range p.Status.ContainerStatuses[0].AllocatedResourcesStatus {
			for _, r := range status.Resources {
				if r.Health != core.ResourceHealthStatusHealthy {
					got = append(got, string(r.ResourceID))
				}
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("unhealthy in the pod's status: %v, want %v", got, want)
		}
		return nil
	})
}

// told counts the Events on the Node of a reason and a GPU.
func told(t *testing.T, reason, uuid string) (count int) {
	t.Helper()
	list, err := client.CoreV1().Events("default").List(t.Context(), meta.ListOptions{FieldSelector: "involvedObject.kind=Node,involvedObject.name=" + node + ",reason=" + reason})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if strings.Contains(e.Message, uuid) {
			count++
		}
	}
	return count
}

// xid is what the metrics tell.
func xid(t *testing.T, uuid string) int {
	t.Helper()
	page := inNode(t, "curl", "-sf", "http://127.0.0.1:9400/metrics")
	m := regexp.MustCompile(`DCGM_FI_DEV_XID_ERRORS\{[^}]*UUID="` + uuid + `"[^}]*pod="holder"\} (\d+)`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no XID of %s, held by the pod, in the metrics:\n%s", uuid, page)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// A GPU that fails shows everywhere, and nowhere when it is healed. The pod
// that holds it goes on.
func TestAFaultReachesTheCluster(t *testing.T) {
	before := pod(t, "holder", "8", "sleep", "infinity")
	h := follow(t)
	eventually(t, func() error { // the agent has heard of the pod
		if out := ai(t, "ls"); strings.Count(out, "default/holder (main)") != 8 {
			return fmt.Errorf("held by the pod:\n%s", out)
		}
		return nil
	})
	held := regexp.MustCompile(`DCGM_FI_DEV_XID_ERRORS\{[^}]*pod="holder"\}`)
	eventually(t, func() error { // and shows it in the metrics
		if page := inNode(t, "curl", "-sf", "http://127.0.0.1:9400/metrics"); len(held.FindAllString(page, -1)) != 8 {
			return fmt.Errorf("the metrics tell:\n%s", page)
		}
		return nil
	})
	want := []offer{{8, 8}}
	var failed, healed, unhealthy, commands []time.Duration
	for i := range rounds() {
		gpu := i % 8
		uuid := seen(t, "holder").Devices[gpu].UUID
		warnings, notes := told(t, "XidCriticalError", uuid), told(t, "GpuHealed", uuid)

		begin := time.Now()
		ai(t, "fail", "--gpu", fmt.Sprint(gpu), "--xid", "79")
		commands = append(commands, time.Since(begin))
		failed = append(failed, h.await(t, offer{8, 7}, begin))
		sick(t, "holder", uuid)
		unhealthy = append(unhealthy, time.Since(begin))
		if d := seen(t, "holder").Devices[gpu]; d.Fault.XID != 79 || !d.Fault.Lost {
			t.Errorf("the pod reads %+v", d.Fault)
		}
		if out := inPod(t, "holder", "nvidia-smi || true"); strings.Count(out, "GPU is lost") != 1 {
			t.Errorf("nvidia-smi in the pod:\n%s", out)
		}
		if got := xid(t, uuid); got != 79 {
			t.Errorf("the metrics tell XID %d", got)
		}
		eventually(t, func() error {
			if got := told(t, "XidCriticalError", uuid); got != warnings+1 {
				return fmt.Errorf("%d Events XidCriticalError, want %d", got, warnings+1)
			}
			return nil
		})

		begin = time.Now()
		ai(t, "heal", "--gpu", fmt.Sprint(gpu))
		healed = append(healed, h.await(t, offer{8, 8}, begin))
		sick(t, "holder")
		if got := xid(t, uuid); got != 0 {
			t.Errorf("healed, and the metrics tell XID %d", got)
		}
		eventually(t, func() error {
			if got := told(t, "GpuHealed", uuid); got != notes+1 {
				return fmt.Errorf("%d Events GpuHealed, want %d", got, notes+1)
			}
			return nil
		})
		want = append(want, offer{8, 7}, offer{8, 8})
	}
	if got, _ := h.all(); !slices.Equal(got, want) {
		t.Errorf("the node offered %v, want %v", got, want)
	}
	tell(t, "`gpu fail` itself", commands)
	tell(t, "from `gpu fail` to the Node's allocatable", failed)
	tell(t, "from `gpu fail` to the pod's status", unhealthy)
	tell(t, "from `gpu heal` to the Node's allocatable", healed)
	sameContainers(t, before)
}

// The fault of a program is told by the metrics alone.
func TestAnErrorOfAProgramTakesNoGPUOut(t *testing.T) {
	pod(t, "holder", "1", "sleep", "infinity")
	h := follow(t)
	t.Cleanup(func() { ai(t, "heal") })
	uuid := strings.TrimSpace(inPod(t, "holder", "printenv NVIDIA_VISIBLE_DEVICES"))
	ai(t, "fail", "--gpu", uuid, "--xid", "31")
	eventually(t, func() error {
		if got := inNode(t, "curl", "-sf", "http://127.0.0.1:9400/metrics"); !strings.Contains(got, `pod="holder"} 31`) {
			return fmt.Errorf("the metrics tell no XID 31")
		}
		return nil
	})
	// One that takes a GPU out follows: had the first changed the node, the
	// history would tell.
	ai(t, "fail", "--gpu", uuid, "--xid", "74")
	h.await(t, offer{8, 7}, time.Now())
	if got, _ := h.all(); !slices.Equal(got, []offer{{8, 8}, {8, 7}}) {
		t.Errorf("the node offered %v", got)
	}
	sick(t, "holder", uuid)
}

// What is broken stays broken when the node starts again, and a GPU that is
// out is given to no pod.
func TestAFaultOutlivesTheNode(t *testing.T) {
	h := follow(t)
	t.Cleanup(func() { ai(t, "heal") })
	for gpu := range 7 {
		ai(t, "fail", "--gpu", fmt.Sprint(gpu), "--ecc")
	}
	h.await(t, offer{8, 1}, time.Now())
	for _, verb := range []string{"stop", "start"} {
		if out, err := exec.Command(plugin, "sandbox", verb, "--name", name).CombinedOutput(); err != nil {
			t.Fatalf("sandbox %s: %v\n%s", verb, err, out)
		}
	}
	last := seenInNode(t).Devices[7].UUID
	p := pod(t, "last", "1", "sleep", "infinity")
	got := strings.TrimSpace(inPod(t, p.Name, "printenv NVIDIA_VISIBLE_DEVICES"))
	if got != last {
		t.Errorf("the pod has %s, and %s alone is in order", got, last)
	}
	if out := lines(ai(t, "ls", "-o", "wide")); len(out) != 9 || !strings.Contains(out[1], "XID 48") || !strings.Contains(out[8], "default/last (main)") {
		t.Errorf("gpu ls:\n%s", strings.Join(out, "\n"))
	}
}

func seenInNode(t *testing.T) model.State {
	t.Helper()
	s, err := model.Decode([]byte(inNode(t, "cat", model.NodeDir+"/"+model.StateFile)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sameContainers fails the test if the pod's containers are not those of
// before.
func sameContainers(t *testing.T, before *core.Pod) {
	t.Helper()
	now, err := client.CoreV1().Pods(before.Namespace).Get(t.Context(), before.Name, meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := before.Status.ContainerStatuses[0], now.Status.ContainerStatuses[0]
	if a.ContainerID != b.ContainerID || a.RestartCount != b.RestartCount || b.State.Running == nil {
		t.Errorf("the container of %s was touched: %s (%d restarts), now %s (%d)", before.Name, a.ContainerID, a.RestartCount, b.ContainerID, b.RestartCount)
	}
}
