//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
)

// shapes are the kinds of a promoted bundle beside its Deployment, and how
// many of 100 objects are of each. %[1]s is the object's name, %[2]s what
// changes.
var shapes = []struct {
	file  string
	share int
	text  string
}{
	{"configmaps.yaml", 50, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %[1]s}\ndata:\n  revision: %[2]q\n  settings.yaml: |\n    optimizer: {name: adamw, lr: 0.0003, betas: [0.9, 0.95], decay: 0.1}\n    schedule: {warmup: 2000, total: 500000, kind: cosine, floor: 0.00003}\n    model: {layers: 32, heads: 32, width: 4096, rope: 500000, norm: rms}\n    data: {shards: 1024, shuffle: 7919, sequence: 8192, tokenizer: bpe}\n"},
	{"secrets.yaml", 15, "apiVersion: v1\nkind: Secret\nmetadata: {name: %[1]s}\nstringData: {token: \"%[1]s-%[2]s\"}\n"},
	{"accounts.yaml", 15, "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: %[1]s\n  annotations: {revision: %[2]q}\nautomountServiceAccountToken: false\n"},
	{"roles.yaml", 10, "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: %[1]s\n  annotations: {revision: %[2]q}\nrules:\n- {apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch]}\n"},
	{"services.yaml", 10, "apiVersion: v1\nkind: Service\nmetadata:\n  name: %[1]s\n  annotations: {revision: %[2]q}\nspec:\n  clusterIP: None\n  ports: [{name: http, port: 80}]\n"},
}

const target = `apiVersion: apps/v1
kind: Deployment
metadata: {name: main}
spec:
  replicas: 0
  selector: {matchLabels: {app: main}}
  template:
    metadata: {labels: {app: main}}
    spec:
      containers:
      - {name: main, image: %q, workingDir: /app, command: [python3, train.py]}
`

// manifests returns total objects by file, so many of them changed and so
// many, the last of each kind, left out.
func manifests(total, changed, left int) map[string]string {
	files := map[string]string{"target.yaml": fmt.Sprintf(target, python)}
	every := 0
	if changed > 0 {
		every = total / changed
	}
	n := 0
	for i, shape := range shapes {
		count := total * shape.share / 100
		if i == 0 {
			count -= 2 // the Deployment, and the ConfigMap that carries the code
		}
		var out bytes.Buffer
		for j := range count {
			value := "1"
			if every > 0 && n%every == 0 {
				value = "2"
			}
			n++
			if j >= count-left*shape.share/100 {
				continue
			}
			fmt.Fprintf(&out, "---\n"+shape.text, fmt.Sprintf("object-%d", j), value)
		}
		files[shape.file] = out.String()
	}
	return files
}

// promoted writes a bundle whose production environment holds the files.
func (b *bench) promoted(dir string, files map[string]string) {
	b.t.Helper()
	name := filepath.Base(dir)
	b.write(dir, "kubectl-ai.yaml", "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: "+name+"}\ncode: [{path: src, mountPath: /app}]\nenvironments: {production: {context: kind-"+sandbox+", namespace: "+name+", codeFormat: configMap}}\n")
	b.write(dir, "src/train.py", "print('trained')\n")
	var names []string
	for file, content := range files {
		b.write(dir, "overlays/production/"+file, content)
		names = append(names, file)
	}
	b.write(dir, "overlays/production/kustomization.yaml", "namespace: "+name+"\nresources: ["+strings.Join(names, ", ")+"]\n")
}
