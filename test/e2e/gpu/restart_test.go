//go:build e2e

package gpu

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whatever restarts, the GPUs come back: pods that hold some go on, and new
// ones are admitted.
func TestGPUsComeBack(t *testing.T) {
	holder := pod(t, "holder", "4", "sleep", "infinity")
	for _, c := range []struct {
		what, command string
		begin         string // prints when registering was possible again; at once without it
	}{
		{"the kubelet is restarted", "systemctl restart kubelet", "stat -c %.6Y /var/lib/kubelet/device-plugins/kubelet.sock"},
		{"ai-gpu is killed", "kill -9 $(systemctl show -p MainPID --value kubectl-ai-gpu)", ""},
		{"the plugin's socket is removed", "rm /var/lib/kubelet/device-plugins/kubectl-ai-*.sock", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := follow(t)
			var registered, back []time.Duration
			for i := range rounds() {
				registrations := len(journal(t, "registered"))
				begin := time.Now()
				inNode(t, "sh", "-c", c.command)
				done := time.Now()
				eventually(t, func() error {
					if got := len(journal(t, "registered")); got <= registrations {
						return fmt.Errorf("not registered again")
					}
					return nil
				})
				possible := begin
				if c.begin != "" {
					seconds, err := strconv.ParseFloat(strings.TrimSpace(inNode(t, "sh", "-c", c.begin)), 64)
					if err != nil {
						t.Fatal(err)
					}
					possible = time.UnixMicro(int64(seconds * 1e6))
				}
				all := journal(t, "registered")
				registered = append(registered, all[len(all)-1].Sub(possible))
				// The Node object tells what it told before until the kubelet
				// speaks again: what counts is when it does not change any more.
				time.Sleep(5 * time.Second)
				h.await(t, offer{8, 8}, begin)
				if _, at := h.all(); at.After(done) {
					back = append(back, at.Sub(done))
				} else {
					back = append(back, 0) // nobody saw it go
				}
				probe := fmt.Sprintf("probe%d", i)
				pod(t, probe, "1", "sleep", "infinity") // an UnexpectedAdmissionError would be final
				removePod(t, probe)
				sameContainers(t, holder)
			}
			tell(t, "registered again", registered)
			tell(t, "from "+c.what+" to the Node's allocatable", back)
		})
	}
}

// entry is a line of the node's journal.
type entry struct {
	Time    string `json:"__REALTIME_TIMESTAMP"`
	Message string `json:"MESSAGE"`
}

func (e entry) at() time.Time {
	n, _ := strconv.ParseInt(e.Time, 10, 64)
	return time.UnixMicro(n)
}

// journal returns when the agent logged a message.
func journal(t *testing.T, message string) (at []time.Time) {
	t.Helper()
	out := inNode(t, "journalctl", "-u", "kubectl-ai-gpu", "-o", "json", "--no-pager", "--output-fields=MESSAGE")
	for _, line := range lines(out) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && strings.Contains(e.Message, "msg="+message+" ") {
			at = append(at, e.at())
		}
	}
	return at
}
