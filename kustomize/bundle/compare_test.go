package bundle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
)

const base = `apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  parallelism: 2
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: trainer
        image: python:3.11
        command: [python3, train.py]
        env: [{name: LR, value: "0.1"}, {name: SEED, value: "1"}]
        envFrom: [{configMapRef: {name: settings}}]
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`

// sides renders two overlays of one base.
func sides(t *testing.T, a, b string) (bundle.Side, bundle.Side) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("base/kustomization.yaml", "resources: [all.yaml]\nconfigMapGenerator: [{name: settings, literals: [epochs=5]}]\n")
	write("base/all.yaml", base)
	side := func(name, overlay string) bundle.Side {
		write("overlays/"+name+"/kustomization.yaml", "resources: [../../base]\n"+overlay)
		s, err := bundle.Open(filepath.Join(dir, "overlays", name), bundle.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return side("a", a), side("b", b)
}

func lines(found []bundle.Difference) string {
	var out []string
	for _, d := range found {
		mark := "!"
		if d.Expected {
			mark = " "
		}
		out = append(out, fmt.Sprintf("%s%s %s %s: %v -> %v", mark, d.Class, d.Object, d.Field, d.A, d.B))
	}
	return strings.Join(out, "\n")
}

func patch(text string) string {
	return "patches:\n- patch: |\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
}

func TestCompareListsEveryLeafOnce(t *testing.T) {
	for name, c := range map[string]struct{ a, b, want string }{
		"the same bundle twice": {"", "", ""},
		"what environments are there for": {
			"namespace: dev\n",
			"namespace: prod\nimages: [{name: python, newTag: 3.11-slim}]\nreplicas: []\n" + patch(`
apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  parallelism: 8
  template:
    spec:
      nodeSelector: {gpu: h100}
      containers:
      - {name: trainer, resources: {limits: {nvidia.com/gpu: 1}}}
`),
			` names ConfigMap/settings metadata.namespace: dev -> prod
 names Job/train metadata.namespace: dev -> prod
 scale Job/train spec.parallelism: 2 -> 8
 images Job/train spec.template.spec.containers[name=trainer].image: python:3.11 -> python:3.11-slim
 resources Job/train spec.template.spec.containers[name=trainer].resources.limits[nvidia.com/gpu]: <nil> -> 1
 placement Job/train spec.template.spec.nodeSelector.gpu: <nil> -> h100
 names PersistentVolumeClaim/data metadata.namespace: dev -> prod`,
		},
		"what they should share": {
			"",
			patch(`
apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  template:
    spec:
      containers:
      - {name: trainer, command: [python3, other.py], env: [{name: LR, value: "0.2"}, {name: EXTRA, value: "on"}]}
`),
			`!command Job/train spec.template.spec.containers[name=trainer].command: [python3 train.py] -> [python3 other.py]
!environment Job/train spec.template.spec.containers[name=trainer].env[name=EXTRA].value: <nil> -> on
!environment Job/train spec.template.spec.containers[name=trainer].env[name=LR].value: 0.1 -> 0.2`,
		},
		"data of a generated ConfigMap, and not its name's hash": {
			"", "configMapGenerator: [{name: settings, behavior: merge, literals: [epochs=50]}]\n",
			`!environment ConfigMap/settings data.epochs: 5 -> 50`,
		},
		"a prefix, once": {
			"", "namePrefix: team-\nnameSuffix: -x\n",
			" names  namePrefix:  -> team-\n names  nameSuffix:  -> -x",
		},
		"an object that one side has": {
			"", "configMapGenerator: [{name: extra, literals: [a=b]}]\n",
			"!object ConfigMap/extra : <nil> -> present",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := sides(t, c.a, c.b)
			found := bundle.Compare(a, b, nil)
			if d := cmp.Diff(c.want, lines(found)); d != "" {
				t.Error(d)
			}
			if back := bundle.Compare(b, a, nil); len(back) != len(found) {
				t.Errorf("the other way round it lists %d, and not %d:\n%s", len(back), len(found), lines(back))
			}
			seen := map[string]bool{}
			for _, d := range found {
				if key := d.Object + " " + d.Field; seen[key] {
					t.Errorf("%s is there twice", key)
				} else {
					seen[key] = true
				}
			}
		})
	}
}
