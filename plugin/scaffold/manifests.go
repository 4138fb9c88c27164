package scaffold

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// manifests writes the files of a bundle. They are texts and no marshalled
// objects: a user reads and changes them from here on.
type manifests struct {
	*work
	name, image string
	torch       bool
	imageFiles  []string // a change of which needs a new image
	dockerfile  string
}

func templates(p *Plan, s *survey, w *work) manifests {
	_, torch := w.uses.torch()
	m := manifests{work: w, name: p.Name, image: p.Image, torch: torch, dockerfile: p.Dockerfile}
	if p.Dockerfile != "" {
		m.imageFiles = append([]string{p.Dockerfile}, strings.Fields(s.requirements.files())...)
	}
	return m
}

// flow writes words as one YAML list in a line.
func flow(words []string) string {
	node := yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, w := range words {
		node.Content = append(node.Content, text(w))
	}
	return inline(&node)
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if strings.Contains(s, "\n") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func inline(node *yaml.Node) string {
	raw, err := yaml.Marshal(node)
	if err != nil {
		return "" // a list of strings always marshals
	}
	return string(bytes.TrimRight(raw, "\n"))
}

// variable writes one entry of env.
func variable(v Variable) string {
	node := yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{text("name"), text(v.Name), text("value"), text(v.Value)}}
	return inline(&node)
}

// processes is the variable that says how many processes a pod starts.
func (m manifests) processes() string {
	switch m.launcher {
	case launcherTorchrun:
		return "PET_NPROC_PER_NODE" // of torchrun: --nproc-per-node
	case launcherAccelerate:
		return "NUM_PROCESSES"
	}
	return ""
}

// count is the value of that variable: torchrun's is of a pod, accelerate's of
// all pods together.
func (m manifests) count(pods, processes int) int {
	if m.launcher == launcherAccelerate {
		return pods * processes
	}
	return processes
}

func (m manifests) job() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: %s\n  labels: {kubectl-ai.dev/stage: train}\nspec:", m.name)
	if m.pods > 1 {
		line("  completionMode: Indexed # a pod for each rank; RANK and its like are added to it\n  completions: %d\n  parallelism: %[1]d", m.pods)
	}
	line("  backoffLimit: 3\n  template:\n    metadata:\n      labels: {app: %s, kubectl-ai.dev/stage: train}\n    spec:", m.name)
	if m.pods > 1 {
		line("      subdomain: %s", m.name)
	}
	line(`      restartPolicy: OnFailure
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: trainer
        image: %s # the code is not in it`, m.image)
	line("        workingDir: %s\n        command: %s", m.mountPath, flow(m.command))
	env := slices.Clone(m.env)
	if name := m.processes(); name != "" {
		env = append(env, Variable{name, strconv.Itoa(m.count(m.pods, 1))})
	}
	if len(env) > 0 {
		line("        env:")
		for _, v := range env {
			line("        - %s", variable(v))
		}
	}
	gpu, cpu, memory, limit := "", "100m", "128Mi", "1Gi"
	if m.gpu != "" {
		gpu = ", nvidia.com/gpu: 1"
	}
	if m.torch {
		cpu, memory, limit = "250m", "768Mi", "4Gi"
	}
	line("        resources: # to begin with\n          requests: {cpu: %s, memory: %s}\n          limits: {cpu: \"1\", memory: %s%s}", cpu, memory, limit, gpu)
	line("        securityContext:\n          allowPrivilegeEscalation: false\n          capabilities: {drop: [ALL]}")
	if m.torch {
		line("        volumeMounts:\n        - {name: shm, mountPath: /dev/shm}\n      volumes:\n      - name: shm # what data loaders share; the runtime's own is 64 MiB\n        emptyDir: {medium: Memory, sizeLimit: 512Mi}")
	}
	return b.String()
}

func (m manifests) service() string {
	return fmt.Sprintf(`# Gives every rank a DNS name: <pod's hostname>.%[1]s
apiVersion: v1
kind: Service
metadata:
  name: %[1]s
spec:
  clusterIP: None
  publishNotReadyAddresses: true # ranks look for each other before they are ready
  selector:
    app: %[1]s
  ports:
  - {name: rendezvous, port: 29500}
`, m.name)
}

// productionPatch gives production the size that the project asks for.
func (m manifests) productionPatch() string {
	var ops []string
	if pods := max(m.wantPods, 1); m.wantPods > 0 && pods != m.pods && m.pods > 1 {
		ops = append(ops, fmt.Sprintf("{op: replace, path: /spec/completions, value: %d}", pods), fmt.Sprintf("{op: replace, path: /spec/parallelism, value: %d}", pods))
	}
	if m.processes() != "" {
		if n := m.count(max(m.wantPods, m.pods), max(m.wantProcs, 1)); n != m.count(m.pods, 1) {
			ops = append(ops, fmt.Sprintf("{op: replace, path: /spec/template/spec/containers/0/env/%d/value, value: \"%d\"}", len(m.env), n))
		}
		if m.gpu != "" && m.wantProcs > 1 {
			ops = append(ops, fmt.Sprintf("{op: replace, path: /spec/template/spec/containers/0/resources/limits/nvidia.com~1gpu, value: %d}", m.wantProcs))
		}
	}
	if len(ops) == 0 {
		return ""
	}
	return fmt.Sprintf("patches: # the size of %s\n- target: {kind: Job, name: %s}\n  patch: |-\n    - %s\n", m.ranksWhere, m.name, strings.Join(ops, "\n    - "))
}

// adopted is an environment of a kustomization that was there.
type adopted struct{ environment, overlay, namespace string }

func (m manifests) project(target []string, environments ...adopted) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\ncode:", project.APIVersion, project.Kind, m.name)
	line("- path: %s\n  mountPath: %s", inline(text(m.codePath)), m.mountPath)
	if len(target) > 0 {
		line("  targets: %s", flow(target))
	}
	if m.codePath == "." {
		ignore := []string{"/base/", "/overlays/", "/components/"}
		for _, e := range environments {
			if top, _, _ := strings.Cut(e.overlay, "/"); top != "." && top != "" && !slices.Contains(ignore, "/"+top+"/") {
				ignore = append(ignore, "/"+top+"/")
			}
		}
		line("  ignore: %s # what is not code", flow(ignore))
	}
	preload, policies := m.torch && m.launcher == launcherNone, len(m.imageFiles) > 0 && m.codePath == "."
	if preload || policies {
		line("reload:")
		if preload {
			line("  preload: [torch] # imported once a rank; every save's process is forked from there")
		}
		if policies {
			line("  policies:\n  - {paths: %s, action: image} # %s is built anew by: %s", flow(m.imageFiles), m.image, BuildCommand(m.image, m.dockerfile, "."))
		}
	}
	line("environments:")
	if len(environments) == 0 {
		environments = []adopted{{environment: project.Sandbox}, {environment: project.Production, namespace: m.name}}
	}
	for _, e := range environments {
		line("  %s:", e.environment)
		if e.overlay != "" {
			line("    overlay: %s", inline(text(e.overlay)))
		}
		if e.environment == project.Sandbox {
			line("    context: kind-ai")
		}
		if e.namespace != "" {
			line("    namespace: %s", e.namespace)
		}
		if e.environment == project.Production {
			line("    # context: the kubeconfig's name of that cluster; else --context says it")
			line("    # registry: host/path that images with the code are pushed to")
		}
	}
	return b.String()
}

func kustomization(namespace string, resources []string, more string) string {
	var b strings.Builder
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
	if namespace != "" {
		fmt.Fprintf(&b, "namespace: %s\n", namespace)
	}
	b.WriteString("resources:\n")
	for _, r := range resources {
		fmt.Fprintf(&b, "- %s\n", r)
	}
	return b.String() + more
}

func namespaceManifest(name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n", name)
}
