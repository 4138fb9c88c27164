//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Code that goes as a ConfigMap needs no registry, and arrives whole: folders,
// an executable, a file that is no text, an empty one.
func TestPromoteAsAConfigMap(t *testing.T) {
	const ns = "mapped"
	files := job(ns, 2, "")
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "registry: \"localhost:"+registryPort+"/e2e\"", "codeFormat: configMap", 1)
	files["src/model/__init__.py"] = ""
	files["src/model/layers/wide.py"] = "WIDTH = 128\n"
	files["src/weights.bin"] = "\x80\x81\xff\x00\n"
	files["src/run.sh"] = "#!/bin/sh\nexec python3 train.py\n"
	files["src/train.py"] = "from model.layers.wide import WIDTH\nprint('width', WIDTH, flush=True)\n" + trainer
	dir := bundle(t, productionName, ns, files)
	if err := os.Chmod(filepath.Join(dir, "src/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, "sandbox", "load", pythonImage, "--name", productionName)
	want := digestHere(t, filepath.Join(dir, "src"))

	must(t, "promote", dir, "--to", "production", "--yes", "--unproven")
	if h := history(t, dir); h.Current != 1 || h.Items[0].TreeDigest != want {
		t.Fatalf("history = %+v, want release 1 with %s", h, want)
	}
	running := pods(t, productionName, ns, "app="+ns)
	if len(running) != 2 {
		t.Fatalf("%d ranks run", len(running))
	}
	for rank, pod := range running {
		// ..data is the folder of the kubelet's that the names in the volume lead to.
		if got := digestIn(t, productionName, ns, pod, "/app/..data/"); got != want {
			t.Errorf("rank %s holds %s, the laptop %s:\n%s", rank, got, want, kubectl(t, productionName, "exec", "-n", ns, pod, "--", "ls", "-lR", "/app/..data/"))
		}
		if log := kubectl(t, productionName, "logs", "-n", ns, pod); !strings.Contains(log, "width 128\ngeneration 0 "+rank) {
			t.Errorf("rank %s says %s", rank, log)
		}
	}

	versions := func() string {
		return kubectl(t, productionName, "get", "jobs,services,configmaps,secrets", "-n", ns, "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	}
	before := versions()
	if r := must(t, "promote", dir, "--to", "production", "--yes", "--unproven"); !strings.Contains(r.stderr, "nothing to do") {
		t.Errorf("it does not say that there is nothing to do: %s", r.stderr)
	}
	if after := versions(); after != before {
		t.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
}
