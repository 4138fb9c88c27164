//go:build e2e

package e2e

import "fmt"

// validation is a model that is measured, and packed for devices.
var validation = scenario{name: "validation", begin: func(u *user) {
	namespace(u.T, sandboxName, u.ns)
	copyRunBundle(u.T, u.bundle, u.ns)
	model, _ := trained(u.T)
	write(u.T, u.bundle, map[string]string{
		"src/model.json":                 model,
		"src/validate.py":                validateTrained,
		"storage/kustomization.yaml":     "namespace: " + u.ns + "\ncomponents: [../../../kustomize/components/storage/local]\n",
		"overlays/production/serve.yaml": fmt.Sprintf(servesIt, pythonImage),
	})
	u.edit("overlays/production/kustomization.yaml", "../../base", "../../base, serve.yaml")
	u.edit("base/validate.yaml", "command: [python3, validate.py]", "command: [python3, validate.py]\n            envFrom: [{configMapRef: {name: storage}}, {secretRef: {name: storage}}]")
	u.sh("kubectl ai sandbox load " + pythonImage + " " + servicesImage + " --name " + sandboxName)
	u.sh("kubectl kustomize storage | kubectl apply -f -")
	u.sh("kubectl rollout status -n " + u.ns + " deployment/storage --timeout=2m")
}, examples: []example{
	{line: "kubectl ai validate samples/digits"},
	{line: "kubectl ai validate -o json | jq '.metrics, .refusals'"},
	{line: "kubectl ai validate --save-model overlays/production"},
	{line: "kubectl ai validate --save-model out && kubectl ai edge --model out/model.json --into dist"},
	{line: "kubectl ai edge --model out/model.json --into oci://registry.example/edge/digits:1"},
	{line: "kubectl ai edge --model out/model.json --into dist -- predict.py"},
}}

// validateTrained says that the model in the code is good, and leaves it in the
// bucket as training does.
const validateTrained = `import hashlib, json
from bucket import Bucket

content = open("model.json", "rb").read()
digest = hashlib.sha256(content).hexdigest()
Bucket().put(f"models/{digest}/model.json", content)
print(json.dumps({"metrics": [{"name": "accuracy", "value": 0.97}]}))
print(json.dumps({"validation": {"model": "sha256:" + digest, "data": "sha256:" + "cd" * 32, "overlap": 0}}))
`

// servesIt is the stage of which devices get the program.
const servesIt = `apiVersion: apps/v1
kind: Deployment
metadata: {name: serve, labels: {kubectl-ai.dev/stage: serve}}
spec:
  selector: {matchLabels: {app: serve}}
  template:
    metadata: {labels: {app: serve, kubectl-ai.dev/stage: serve}}
    spec:
      containers: [{name: serve, image: "%s", workingDir: /app, command: [python3, serve.py]}]
`
