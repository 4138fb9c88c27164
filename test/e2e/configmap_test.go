//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
		eventually(t, 30*time.Second, func() error {
			if log := kubectl(t, productionName, "logs", "-n", ns, pod); !strings.Contains(log, "width 128\ngeneration 0 "+rank) {
				return fmt.Errorf("rank %s says %s", rank, log)
			}
			return nil
		})
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

// More than one ConfigMap holds takes several, and what they do not hold
// together is refused by name before anything is written.
func TestCodeOfThreeMiBTakesSeveralConfigMaps(t *testing.T) {
	const ns = "chunked"
	files := job(ns, 1, "")
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "registry: \"localhost:"+registryPort+"/e2e\"", "codeFormat: configMap", 1)
	for i := range 4 {
		files[fmt.Sprintf("src/tables/%d.py", i)] = fmt.Sprintf("TABLE_%d = '''%s'''\n", i, strings.Repeat(fmt.Sprintf("%d,", i), 380<<10))
	}
	files["src/train.py"] = "from tables import *\n" + trainer
	dir := bundle(t, productionName, ns, files)
	must(t, "sandbox", "load", pythonImage, "--name", productionName)
	want := digestHere(t, filepath.Join(dir, "src"))
	must(t, "promote", dir, "--to", "production", "--yes", "--unproven")
	for _, pod := range pods(t, productionName, ns, "app="+ns) {
		if got := digestFromNode(t, productionName+"-control-plane", ns, pod, "/app"); got != want {
			t.Errorf("it holds %s, the laptop %s", got, want)
		}
	}
	if maps := strings.Fields(kubectl(t, productionName, "get", "configmaps", "-n", ns, "-o", "name")); len(maps) < 5 { // four, and the release's own
		t.Errorf("ConfigMaps: %v", maps)
	}
	for i := range 6 {
		write(t, dir, map[string]string{fmt.Sprintf("src/more/%d.py", i): strings.Repeat("#", 850<<10)})
	}
	if r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven"); r.code != 3 || !strings.Contains(r.stderr, "PRO-014") || !strings.Contains(r.stderr, "more/5.py") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	save(t, filepath.Join(dir, "src/weights.bin"), strings.Repeat("x", 1<<20))
	if r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven"); r.code != 3 || !strings.Contains(r.stderr, "PRO-015") || !strings.Contains(r.stderr, "weights.bin") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// A target that does not keep the volume gets the code another way, if the
// project allows one: the API server is asked, here of a kind whose definition
// is older than the field.
func TestATargetThatDropsImageVolumesGetsALayer(t *testing.T) {
	const ns, crd = "dropped", "leaderworkersets.leaderworkerset.x-k8s.io"
	files := job(ns, 1, "")
	files["base/kustomization.yaml"] = "resources: [group.yaml]\n"
	files["base/group.yaml"] = "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: group}\nspec:\n  leaderWorkerTemplate:\n    workerTemplate:\n      spec:\n        containers: [{name: main, image: \"" + pythonImage + "\", workingDir: /app}]\n"
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "production: {", "production: {codeFormat: imageVolume, ", 1)
	apply(t, productionName, `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: `+crd+`}
spec:
  group: leaderworkerset.x-k8s.io
  scope: Namespaced
  names: {kind: LeaderWorkerSet, plural: leaderworkersets, singular: leaderworkerset}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              leaderWorkerTemplate:
                type: object
                properties:
                  workerTemplate:
                    type: object
                    properties:
                      metadata: {type: object, x-kubernetes-preserve-unknown-fields: true}
                      spec:
                        type: object
                        properties:
                          containers: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
                          volumes:
                            type: array
                            items: {type: object, properties: {name: {type: string}, emptyDir: {type: object}}}
`)
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "crd", crd, "--wait=false")
	})
	kubectl(t, productionName, "wait", "--for=condition=Established", "crd/"+crd)
	dir := bundle(t, productionName, ns, files)
	if r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven"); r.code != 3 || !strings.Contains(r.stderr, "PRO-042") || !strings.Contains(r.stderr, "LeaderWorkerSet") {
		t.Errorf("imageVolume alone: exit %d: %s", r.code, r.stderr)
	}
	save(t, filepath.Join(dir, "kubectl-ai.yaml"), strings.Replace(files["kubectl-ai.yaml"], "codeFormat: imageVolume", "codeFormat: [imageVolume, layer]", 1))
	// No operator makes pods of it here, so that nothing is applied.
	r := must(t, "promote", dir, "--to", "production", "--dry-run", "--unproven")
	if !strings.Contains(r.stderr, "not as imageVolume") || !strings.Contains(r.stderr, "goes as layer") || !strings.Contains(r.stdout, "localhost:"+registryPort+"/e2e/"+ns+"/python@sha256:") {
		t.Errorf("it does not say what it does: %s\n%s", r.stderr, r.stdout)
	}
}
