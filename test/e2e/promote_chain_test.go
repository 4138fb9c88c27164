//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// evidence is what a release says that it is founded on.
type evidence struct {
	Unproven   string
	Generation uint64
	Receipts   []receipt
	Runtimes   []struct{ Same bool }
	Carrier    struct {
		Format  string
		Objects []string
	}
}

// evidenceOf returns that of the newest release.
func evidenceOf(t *testing.T, dir, to string) evidence {
	t.Helper()
	var list struct{ Items []struct{ Evidence evidence } }
	if err := json.Unmarshal([]byte(must(t, "history", dir, "--to", to, "-o", "json").stdout), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items[len(list.Items)-1].Evidence
}

// finding is a line of `verify --to -o json`.
type finding struct{ Check, Name, What, Verdict, Expected, Found string }

// altered verifies a release that is not as it was, and returns what differs.
func altered(t *testing.T, dir, to string) []finding {
	t.Helper()
	r := ai(t, "verify", dir, "--to", to, "-o", "json")
	if r.code != 5 || !strings.Contains(r.stderr, "PRO-047") {
		t.Errorf("exit %d, want 5: %s", r.code, r.stderr)
	}
	var report struct{ Findings []finding }
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	var out []finding
	for _, f := range report.Findings {
		if f.Verdict == "differs" {
			out = append(out, f)
		}
	}
	return out
}

// digestFromNode has the node hash what a container's process sees at a
// folder, through /proc/PID/root, by find, sort and sha256sum.
func digestFromNode(t *testing.T, node, ns, pod, dir string) string {
	t.Helper()
	script := `set -e
id=$(crictl ps -q --state running --label io.kubernetes.pod.namespace="$1" --label io.kubernetes.pod.name="$2" 2>/dev/null)
pid=$(crictl inspect -o go-template --template '{{.info.pid}}' "$id" 2>/dev/null)
dir=/proc/$pid/root$3
if [ -e "$dir/..data" ]; then dir=$dir/..data/; fi # a volume of ConfigMaps: its files, not the links to them
set -- - "$dir"
` + strings.Replace(independent, `cd "$1"`, `cd "$2"`, 1)
	out, err := exec.CommandContext(t.Context(), "docker", "exec", node, "bash", "-c", script, "-", ns, pod, dir).Output()
	if err != nil {
		t.Fatalf("hash %s of %s from the node: %v", dir, pod, err)
	}
	return "sha256:" + strings.TrimSpace(string(out))
}

// flip changes one byte of a blob on the registry's disk, in the volume that
// its container keeps blobs in; twice is never.
func flip(t *testing.T, digest string) {
	t.Helper()
	const program = `import sys
with open("/data/blobs/sha256/" + sys.argv[1], "r+b") as f:
    f.seek(100); b = f.read(1); f.seek(100); f.write(bytes([b[0] ^ 1]))`
	volume := "kubectl-ai-registry-" + registryPort + ":/data"
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", "run", "--rm", "-v", volume, pythonImage, "python3", "-c", program, strings.TrimPrefix(digest, "sha256:"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("flip a byte: %v\n%s", err, out)
	}
}

// The digest of the tree on the laptop is the one that every rank of dev
// proved, the one of what was packaged, and the one of the files that the
// running containers of production see, whichever way the code goes; and what
// is altered there afterwards is named.
func TestTheChainFromLaptopToProduction(t *testing.T) {
	const ns = "chain"
	files := job(ns, 2, "")
	files["base/kustomization.yaml"] = "resources: [job.yaml, service.yaml, serve.yaml]\n"
	files["base/serve.yaml"] = strings.NewReplacer("batch/v1", "apps/v1", "kind: Job", "kind: Deployment", "metadata: {name: chain}", "metadata: {name: serve}",
		"  completionMode: Indexed\n  completions: 2\n  parallelism: 2\n", "  replicas: 1\n  selector: {matchLabels: {app: serve}}\n",
		"labels: {app: chain}", "labels: {app: serve}", "      subdomain: chain\n", "", "restartPolicy: OnFailure", "restartPolicy: Always").Replace(files["base/job.yaml"])
	files["base/serve.yaml"], _, _ = strings.Cut(files["base/serve.yaml"], "        env:\n")
	files["src/train.py"] = "import os, time\nprint('runs', os.environ.get('KUBECTL_AI_TREE_DIGEST'), flush=True)\nwhile True: time.sleep(1)\n"
	files["src/model/__init__.py"] = ""
	files["src/model/layers/wide.py"] = "WIDTH = 128\n"
	files["src/weights.bin"] = "\x80\x81\xff\x00\n"
	files["src/run.sh"] = "#!/bin/sh\nexec python3 train.py\n"
	for _, format := range []string{"layer", "imageVolume", "configMap"} {
		files["kubectl-ai.yaml"] += fmt.Sprintf("  %s: {overlay: overlays/production, context: kind-%s, namespace: chain-%s, registry: \"localhost:%s/chain\", codeFormat: %s}\n",
			format, productionName, strings.ToLower(format), registryPort, format)
	}
	files["overlays/production/kustomization.yaml"] = "resources: [../../base]\n"
	dir := filepath.Join(t.TempDir(), ns)
	write(t, dir, files)
	if err := os.Chmod(filepath.Join(dir, "src/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), sandboxName, "", "delete", "namespace", ns, "--wait=false", "--ignore-not-found")
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "namespace", "chain-layer", "chain-imagevolume", "chain-configmap", "--wait=false", "--ignore-not-found")
	})
	for _, name := range []string{sandboxName, productionName} {
		must(t, "sandbox", "load", pythonImage, "--name", name)
	}
	want := digestHere(t, filepath.Join(dir, "src"))

	t.Run("code that never ran is refused", func(t *testing.T) {
		if r := ai(t, "promote", dir, "--to", "layer", "--yes"); r.code != 5 || !strings.Contains(r.stderr, "PRO-040") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	})
	lines := strings.Split(strings.TrimSpace(must(t, "dev", dir, "--once", "-o", "json").stdout), "\n")
	proved := map[string]bool{}
	for _, line := range lines {
		var r receipt
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		proved[r.PodUID] = r.TreeDigest == want
	}
	if len(proved) != 3 {
		t.Fatalf("receipts of %v", proved)
	}

	t.Run("each way", func(t *testing.T) {
		for _, format := range []string{"layer", "imageVolume", "configMap"} {
			t.Run(format, func(t *testing.T) {
				t.Parallel()
				at := "chain-" + strings.ToLower(format)
				must(t, "promote", dir, "--to", format, "--yes")
				e := evidenceOf(t, dir, format)
				if e.Unproven != "" || len(e.Receipts) != 3 || e.Carrier.Format != format || len(e.Runtimes) != 2 || !e.Runtimes[0].Same || !e.Runtimes[1].Same {
					t.Errorf("evidence: %+v", e)
				}
				for _, r := range e.Receipts {
					if r.TreeDigest != want || !proved[r.PodUID] {
						t.Errorf("receipt %+v, want %s of one of %v", r, want, proved)
					}
				}
				containers := strings.Fields(kubectl(t, productionName, "get", "pods", "-n", at, "-o", "jsonpath={.items[*].metadata.name}"))
				if len(containers) != 3 {
					t.Fatalf("pods %v", containers)
				}
				for _, pod := range containers {
					if got := digestFromNode(t, productionName+"-control-plane", at, pod, "/app"); got != want {
						t.Errorf("%s holds %s, the laptop %s", pod, got, want)
					}
					eventually(t, 30*time.Second, func() error {
						if log := kubectl(t, productionName, "logs", "-n", at, pod); !strings.Contains(log, "runs "+want) {
							return fmt.Errorf("%s says %q", pod, log)
						}
						return nil
					})
				}
				r := must(t, "verify", dir, "--to", format)
				if !strings.Contains(r.stdout, want) || strings.Contains(r.stdout, "differs") {
					t.Errorf("verify: %s", r.stdout)
				}
				if r := must(t, "promote", dir, "--to", format, "--yes"); !strings.Contains(r.stderr, "nothing to do") {
					t.Errorf("the same again: %s", r.stderr)
				}
			})
		}
	})

	t.Run("an image edited in the live object is named", func(t *testing.T) {
		kubectl(t, productionName, "set", "image", "-n", "chain-layer", "deployment/serve", "main="+pythonImage)
		got := altered(t, dir, "layer")
		if len(got) == 0 || got[0].Name != "Deployment/serve" || got[0].What != "image of main" || got[0].Found != pythonImage {
			t.Errorf("%+v", got)
		}
		// Its image is somebody else's field now; the next release makes it anew.
		kubectl(t, productionName, "delete", "deployment", "-n", "chain-layer", "serve")
	})
	t.Run("a byte flipped in the registry is named", func(t *testing.T) {
		for _, format := range []string{"layer", "imageVolume"} {
			ref := evidenceOf(t, dir, format).Carrier.Objects[0]
			repo, digest, _ := strings.Cut(ref, "@")
			_, path, _ := strings.Cut(repo, "/")
			var manifest struct{ Layers []struct{ Digest string } }
			out, err := exec.CommandContext(t.Context(), "curl", "-sf", "-H", "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json",
				"http://localhost:"+registryPort+"/v2/"+path+"/manifests/"+digest).Output()
			if err != nil || json.Unmarshal(out, &manifest) != nil || len(manifest.Layers) == 0 {
				t.Fatalf("%s: %v: %s", ref, err, out)
			}
			blob := manifest.Layers[len(manifest.Layers)-1].Digest
			flip(t, blob)
			got := altered(t, dir, format)
			flip(t, blob)
			found := false
			for _, f := range got {
				found = found || f.Check == "registry" && f.Name == ref && f.Expected == blob && strings.HasPrefix(f.Found, "sha256:")
			}
			if !found {
				t.Errorf("%s: %+v, want %s", format, got, blob)
			}
		}
		if r := must(t, "verify", dir, "--to", "imageVolume"); strings.Contains(r.stdout, "differs") {
			t.Errorf("the byte is back: %s", r.stdout)
		}
	})
	t.Run("a ConfigMap that somebody put in the place of ours is named", func(t *testing.T) {
		name, _ := strings.CutPrefix(evidenceOf(t, dir, "configMap").Carrier.Objects[0], "ConfigMap/")
		live := kubectl(t, productionName, "get", "configmap", "-n", "chain-configmap", name, "-o", "json")
		kubectl(t, productionName, "delete", "configmap", "-n", "chain-configmap", name)
		apply(t, productionName, strings.Replace(live, "WIDTH = 128", "WIDTH = 666", 1))
		got := altered(t, dir, "configMap")
		if len(got) == 0 || got[0].Check != "code" || got[0].Expected != want {
			t.Errorf("%+v", got)
		}
		named := false
		for _, f := range got {
			named = named || f.What == "model/layers/wide.py"
		}
		if !named {
			t.Errorf("the file is not named: %+v", got)
		}
	})

	t.Run("one byte changed since is refused, and promoted only unproven", func(t *testing.T) {
		save(t, filepath.Join(dir, "src/generation.txt"), "generation 1\n")
		r := ai(t, "promote", dir, "--to", "production", "--yes", "--dry-run")
		if r.code != 5 || !strings.Contains(r.stderr, "1 file differs from generation "+fmt.Sprint(evidenceOf(t, dir, "layer").Generation)) || !strings.Contains(r.stderr, "generation.txt") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		r = must(t, "promote", dir, "--to", "layer", "--yes", "--unproven")
		if e := evidenceOf(t, dir, "layer"); !strings.Contains(r.stderr, "UNPROVEN") || !strings.Contains(e.Unproven, "generation.txt") || len(e.Receipts) != 0 {
			t.Errorf("%+v: %s", e, r.stderr)
		}
	})
	t.Run("what is read-only refuses a program that writes beside its code", func(t *testing.T) {
		save(t, filepath.Join(dir, "src/train.py"), "import os, time\nos.makedirs('out', exist_ok=True)\nopen('out/log', 'w').write('x')\nwhile True: time.sleep(1)\n")
		must(t, "dev", dir, "--once")
		for _, format := range []string{"imageVolume", "configMap"} {
			eventually(t, 20*time.Second, func() error { // it writes a moment after it started
				if r := ai(t, "promote", dir, "--to", format, "--dry-run"); r.code != 3 || !strings.Contains(r.stderr, "PRO-043") || !strings.Contains(r.stderr, "out/log") {
					return fmt.Errorf("%s: exit %d: %s", format, r.code, r.stderr)
				}
				return nil
			})
		}
	})
	t.Run("another runtime image is refused", func(t *testing.T) {
		other := strayImage(t)
		save(t, filepath.Join(dir, "overlays/production/kustomization.yaml"), "resources: [../../base]\nimages: [{name: "+strings.Split(pythonImage, ":")[0]+", newName: kubectl-ai-e2e/stray, newTag: \"1\"}]\n")
		save(t, filepath.Join(dir, "kubectl-ai.yaml"), strings.Replace(files["kubectl-ai.yaml"], "mountPath: /app", "mountPath: /app, hides: [stray.py]", 1))
		if r := ai(t, "promote", dir, "--to", "layer", "--dry-run"); r.code != 5 || !strings.Contains(r.stderr, "PRO-041") || !strings.Contains(r.stderr, other) {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if r := must(t, "promote", dir, "--to", "layer", "--dry-run", "--other-runtime"); !strings.Contains(r.stderr, "OTHER RUNTIME") {
			t.Errorf("it is not said: %s", r.stderr)
		}
	})
}
