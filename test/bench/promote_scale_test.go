//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

const (
	scaleObjects   = 10_000
	scaleMiB       = 400
	scaleNamespace = "scale"
	scaleVariable  = "KUBECTL_AI_BENCH_SCALE" // set in the process that is measured
)

// TestPromoteScale measures the memory of planning and applying 10,000
// objects, and of proving them unchanged, in a process that does nothing else.
func TestPromoteScale(t *testing.T) {
	if os.Getenv(scaleVariable) != "" {
		scale(t)
		return
	}
	b := promoting(t)
	if out, err := b.kubectl("create", "namespace", scaleNamespace).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	since := b.auditSize()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPromoteScale$", "-test.v")
	cmd.Env = append(os.Environ(), scaleVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range bytes.Lines(out) {
		if text, ok := strings.CutPrefix(string(line), "scale: "); ok {
			fmt.Print(text)
		}
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("%d requests in all\n", len(b.requests(since, "kubectl-ai-bench")))
	wanted(t, fmt.Sprintf("%d objects: MiB of memory at the peak", scaleObjects), float64(usage.Maxrss>>10), scaleMiB)
}

func scale(t *testing.T) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: "kind-" + sandbox}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.UserAgent = "kubectl-ai-bench"
	client, err := apply.New(config)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for i := range scaleObjects {
		objects = append(objects, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": fmt.Sprintf("c%d", i), "namespace": scaleNamespace, "labels": map[string]any{"set": "scale"}},
			"data":     map[string]any{"number": fmt.Sprint(i), "settings.yaml": strings.Repeat("a: b\n", 100)},
		}})
	}
	options := apply.Options{Manager: "bench", Owned: func(apply.Ref, metav1.Object) bool { return true }}
	for _, what := range []string{"first", "again"} {
		options.Members = client.Members("set=scale")
		plan, err := client.Diff(t.Context(), objects, options)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("scale: %s: %s\n", what, plan.Summary())
		if options.Receipts, err = client.Apply(t.Context(), plan, options, nil); err != nil {
			t.Fatal(err)
		}
	}
}
