package observe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
)

// A server that cuts the log off twice while the container runs: what it says
// after that is delivered all the same, every line once, and in the end also
// what is no whole line.
func TestALogThatIsCutOffIsReadOn(t *testing.T) {
	log := []string{"1 one", "2 two", "2 again", "3 three"}
	line := func(s string) string {
		second, text, _ := strings.Cut(s, " ")
		return fmt.Sprintf("2026-01-01T00:00:0%s.%09dZ %s", second, len(text), text)
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/log") {
			for _, s := range log[:min(asked+1, len(log))] {
				_, _ = fmt.Fprintln(w, line(s))
			}
			if r.URL.Query().Get("follow") == "" {
				_, _ = fmt.Fprint(w, "2026-01-01T00:00:09.0Z the end")
			}
			asked++
			return
		}
		pod := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
		status := corev1.ContainerStatus{Name: "main", ContainerID: "a", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
		if asked > len(log) {
			status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(pod)
	}))
	defer server.Close()
	client, err := clientset.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	rank := Rank{Pod: "p", Container: "main"}
	if err := Follow(t.Context(), client, "n", rank, "a", func(_ Rank, line string) { said = append(said, line) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two", "again", "three", "the end"}, said); diff != "" {
		t.Error(diff)
	}
	// Another run of the container is followed for itself.
	if err := Follow(t.Context(), client, "n", rank, "b", func(Rank, string) {}); err != nil {
		t.Fatal(err)
	}
}
