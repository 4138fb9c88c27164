//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Files for Git are what a promotion applies: kubectl brings the same objects
// from them, and two runs make the same bytes, in a folder and as an artifact.
func TestPromoteIntoFiles(t *testing.T) {
	const ns = "filed"
	files := job(ns, 2, "")
	files["base/kustomization.yaml"] = "resources: [job.yaml, service.yaml, access.yaml]\nconfigMapGenerator: [{name: settings, literals: [epochs=5]}]\n"
	files["base/access.yaml"] = `apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
`
	dir := bundle(t, productionName, ns, files)
	must(t, "sandbox", "load", pythonImage, "--name", productionName)
	deploy := filepath.Join(t.TempDir(), "deploy")
	into := func(where string) result {
		return must(t, "promote", dir, "--to", "production", "--unproven", "--into", where, "-o", "json", "--kubeconfig", "/nowhere")
	}
	var report struct {
		TreeDigest, Into string
		Written          struct {
			Changed, Removed []string
			Unchanged        int
		}
	}
	read := func(r result) {
		t.Helper()
		report.Written.Changed, report.Written.Removed = nil, nil
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
			t.Fatalf("%v\n%s", err, r.stdout)
		}
	}
	read(into(deploy))
	if want := digestHere(t, filepath.Join(dir, "src")); report.TreeDigest != want || len(report.Written.Changed) != 6 {
		t.Fatalf("%+v, want 6 files and %s", report, want)
	}
	read(into(deploy))
	if len(report.Written.Changed)+len(report.Written.Removed) != 0 || report.Written.Unchanged != 6 {
		t.Errorf("the second run changed %+v", report.Written)
	}
	artifacts := map[string]bool{}
	for range 2 {
		read(into("oci://localhost:" + registryPort + "/e2e/deploy:filed"))
		artifacts[report.Into] = true
	}
	if len(artifacts) != 1 || !strings.Contains(report.Into, "/e2e/deploy@sha256:") {
		t.Errorf("two runs made %v", artifacts)
	}

	// By kubectl alone, then by a promotion.
	if out, err := exec.Command("docker", "cp", deploy, productionName+"-control-plane:/filed").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	kubectl(t, productionName, "apply", "--server-side", "-k", "/filed")
	byKubectl := objectsOf(t, ns)
	kubectl(t, productionName, "delete", "-k", "/filed", "--wait")
	if out, err := exec.Command("docker", "exec", productionName+"-control-plane", "rm", "-r", "/filed").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, "promote", dir, "--to", "production", "--unproven", "--yes")
	if d := cmp.Diff(byKubectl, objectsOf(t, ns)); d != "" {
		t.Errorf("(-kubectl apply of the files, +promote)\n%s", d)
	}

	// A change is a change of its file alone, and another run is another file.
	save(t, filepath.Join(dir, "src/train.py"), files["src/train.py"]+"# changed\n")
	read(into(deploy))
	if len(report.Written.Changed) != 2 || len(report.Written.Removed) != 1 || !strings.HasPrefix(report.Written.Removed[0], ns+"/job-") {
		t.Errorf("changed code wrote %+v", report.Written)
	}

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "kustomization.yaml"), []byte("resources: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := ai(t, "promote", dir, "--to", "production", "--unproven", "--into", foreign); r.code != 2 || !strings.Contains(r.stderr, "PRO-021") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// objectsOf returns the objects of a namespace as they are applied: without
// what the server and its controllers keep, whose label says that they belong
// to a release, and what keeps those who prune by files from pruning.
func objectsOf(t *testing.T, ns string) map[string]any {
	t.Helper()
	var list struct{ Items []map[string]any }
	eventually(t, time.Minute, func() error {
		out := kubectl(t, productionName, "get", "jobs,services,configmaps,serviceaccounts,roles", "-n", ns, "-l", "kubectl-ai.dev/project="+ns, "-o", "json")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		if len(list.Items) < 5 {
			return fmt.Errorf("%d objects", len(list.Items))
		}
		return nil
	})
	out := map[string]any{}
	for _, obj := range list.Items {
		metadata := obj["metadata"].(map[string]any)
		if metadata["name"] == "kubectl-ai-"+ns {
			continue // the state of the release
		}
		labels, _ := metadata["labels"].(map[string]any)
		delete(labels, "applyset.kubernetes.io/part-of")
		annotations, _ := metadata["annotations"].(map[string]any)
		delete(annotations, "kustomize.toolkit.fluxcd.io/prune")
		delete(annotations, "argocd.argoproj.io/sync-options")
		if len(annotations) == 0 {
			annotations = nil
		}
		spec, _ := obj["spec"].(map[string]any)
		for _, own := range []string{"clusterIP", "clusterIPs", "selector"} {
			if obj["kind"] != "Service" || own != "selector" {
				delete(spec, own)
			}
		}
		if template, ok := spec["template"].(map[string]any); ok { // the Job's controller labels its pods with its UID
			pods, _ := template["metadata"].(map[string]any)["labels"].(map[string]any)
			delete(pods, "controller-uid")
			delete(pods, "batch.kubernetes.io/controller-uid")
		}
		out[fmt.Sprint(obj["kind"], "/", metadata["name"])] = []any{labels, annotations, spec, obj["data"], obj["rules"]}
	}
	return out
}
