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

	"k8s.io/client-go/tools/clientcmd"
)

// foreign makes the production cluster, for the length of a test, one that
// kubectl ai does not know: a kind cluster without the mark of a sandbox. It
// returns a kubeconfig that has it under two names: kind's own, and lab.
func foreign(t *testing.T) (kubeconfig string) {
	t.Helper()
	const mark = "/etc/kubectl-ai/sandbox.json"
	move := func(ctx context.Context, from, to string) {
		if out, err := exec.CommandContext(ctx, "docker", "exec", productionName+"-control-plane", "mv", from, to).CombinedOutput(); err != nil {
			t.Fatalf("move the mark: %v\n%s", err, out)
		}
	}
	move(t.Context(), mark, mark+".away")
	t.Cleanup(func() { move(context.Background(), mark+".away", mark) })
	if list := must(t, "sandbox", "list", "-o", "name").stdout; strings.Contains(list, productionName) {
		t.Fatalf("it is taken for a sandbox:\n%s", list)
	}
	c, err := clientcmd.LoadFromFile(config)
	if err != nil {
		t.Fatal(err)
	}
	c.Contexts["lab"] = c.Contexts["kind-"+productionName]
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// pushedImage is a runtime image that the registry alone has, with a command
// of its own.
func pushedImage(t *testing.T) string {
	t.Helper()
	ref := "localhost:" + registryPort + "/e2e/runtime:1"
	build := exec.Command("docker", "build", "-q", "-t", ref, "-")
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	build.Stdin = strings.NewReader("FROM " + pythonImage + "\nCMD [\"python3\", \"train.py\"]\n")
	for _, step := range []*exec.Cmd{build, exec.Command("docker", "push", "-q", ref), exec.Command("docker", "rmi", ref)} {
		if out, err := step.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", step.Args, err, out)
		}
	}
	return ref
}

func TestDevInAClusterThatIsNoSandbox(t *testing.T) {
	const ns = "lab"
	kubeconfig := foreign(t)
	files := job(ns, 2, "")
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "sandbox: {context: kind-"+sandboxName, "sandbox: {context: lab", 1)
	for _, r := range [][2]string{
		{"image: " + pythonImage, "image: " + pushedImage(t)},
		{"        command: [python3, train.py]\n", ""}, // the image's own, which its registry alone knows
	} {
		if !strings.Contains(files["base/job.yaml"], r[0]) {
			t.Fatalf("%q is not in the Job any more", r[0])
		}
		files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], r[0], r[1], 1)
	}
	dir := bundle(t, productionName, ns, files)
	in := func(args ...string) []string { return append(args, dir, "--kubeconfig", kubeconfig) }
	allowed := func(args ...string) []string { return append(in(args...), "--allow-context", "lab") }
	objects := func() string {
		return strings.TrimSpace(kubectl(t, productionName, "get", "jobs,pods,services", "-n", ns, "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.generation} {.metadata.labels}{"\n"}{end}`))
	}
	empty := func(t *testing.T) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			if left := objects(); left != "" {
				return fmt.Errorf("left behind:\n%s", left)
			}
			return nil
		})
	}
	refused := func(t *testing.T, code int, want []string, args ...string) {
		t.Helper()
		before := objects()
		r := ai(t, args...)
		if r.code != code {
			t.Errorf("kubectl-ai %v: exit %d, want %d", args, r.code, code)
		}
		for _, w := range want {
			if !strings.Contains(r.stderr, w) {
				t.Errorf("kubectl-ai %v: it does not say %q: %s", args, w, r.stderr)
			}
		}
		if now := objects(); now != before {
			t.Errorf("kubectl-ai %v changed the cluster:\n%s\nwas\n%s", args, now, before)
		}
	}

	t.Run("without --allow-context it is refused, under either name", func(t *testing.T) {
		command := fmt.Sprintf("kubectl ai dev %s --kubeconfig=%s --once --allow-context lab", dir, kubeconfig)
		refused(t, 3, []string{"SYNC-006", command}, in("dev", "--once")...)
		refused(t, 3, []string{"SYNC-006", "--allow-context kind-" + productionName}, in("dev", "--once", "--context", "kind-"+productionName)...)
		refused(t, 2, []string{"CTX-004"}, append(in("dev", "--once"), "--allow-context", "kind-"+productionName)...)
	})

	t.Run("without agent.image it is refused", func(t *testing.T) {
		refused(t, 3, []string{"AGT-001", "kubectl ai agent push"}, allowed("dev", "--once")...)
	})

	var agent struct {
		Image  string
		Pushed bool
	}
	for _, want := range []bool{true, false} {
		if err := json.Unmarshal([]byte(must(t, "agent", "push", "localhost:"+registryPort+"/e2e/agent", "-o", "json").stdout), &agent); err != nil || agent.Pushed != want {
			t.Fatalf("agent push: %+v, %v; want pushed %v", agent, err, want)
		}
	}
	save(t, filepath.Join(dir, "kubectl-ai.yaml"), files["kubectl-ai.yaml"]+"agent: {image: \""+agent.Image+"\"}\n")

	t.Run("no namespace is made", func(t *testing.T) {
		overlay := filepath.Join(dir, "overlays/sandbox/kustomization.yaml")
		refused(t, 2, []string{"PRJ-007", "-n " + ns}, append(allowed("dev", "--once"), "-n", "nowhere")...)
		save(t, overlay, "resources: [../../base]\n")
		defer save(t, overlay, files["overlays/sandbox/kustomization.yaml"])
		refused(t, 3, []string{"CTX-005", "kubectl --context lab create namespace nowhere"}, append(allowed("dev", "--once"), "-n", "nowhere")...)
		if out, err := tryKubectl(t.Context(), productionName, "", "get", "namespace", "nowhere"); err == nil {
			t.Errorf("it is there: %s", out)
		}
	})

	t.Run("what others made is not changed and not removed", func(t *testing.T) {
		kubectl(t, productionName, "create", "service", "clusterip", "-n", ns, ns, "--clusterip=None")
		kubectl(t, productionName, "label", "service", "-n", ns, ns, "kubectl-ai.dev/project="+ns) // as a release has
		refused(t, 1, []string{"APPLY-003", "Service"}, allowed("dev", "--once")...)
		refused(t, 0, []string{"nothing of " + ns + " is in lab"}, allowed("dev", "--cleanup", "--yes")...)
		kubectl(t, productionName, "delete", "service", "-n", ns, ns)
	})

	dev := startDev(t, allowed()...)
	dev.next(2, 3*time.Minute)
	before := identity(t, productionName, ns)
	save(t, filepath.Join(dir, "src/generation.txt"), "generation 1\n")
	want := digestHere(t, filepath.Join(dir, "src"))
	for rank, r := range dev.next(2, 30*time.Second) {
		if r.TreeDigest != want {
			t.Errorf("rank %d runs %s, the laptop has %s", rank, r.TreeDigest, want)
		}
	}
	eventually(t, 20*time.Second, func() error {
		for rank := range 2 {
			if line := fmt.Sprintf("generation 1 %d\n", rank); !strings.Contains(dev.stderr.String(), line) {
				return fmt.Errorf("rank %d has not said %q", rank, line)
			}
		}
		return nil
	})
	if !strings.Contains(dev.stderr.String(), "lab is no sandbox") || strings.Contains(dev.stderr.String(), "not the agent of this kubectl ai") {
		t.Errorf("dev said: %s", dev.stderr)
	}
	dev.stop()

	t.Run("verify needs no permission and no container engine, back needs both words", func(t *testing.T) {
		t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "absent")
		if r := must(t, in("verify")...); strings.Count(r.stdout, want) != 3 {
			t.Errorf("verify does not say %s of this machine and both ranks:\n%s", want, r.stdout)
		}
		refused(t, 3, []string{"SYNC-006", "--allow-context lab"}, in("back", "1")...)
		must(t, allowed("back", "1")...)
		if r := ai(t, in("verify")...); r.code != 5 {
			t.Errorf("verify after back: exit %d\n%s", r.code, r.stdout)
		}
	})
	if now := identity(t, productionName, ns); now != before {
		t.Errorf("the workload changed:\n%s\nwas\n%s", now, before)
	}

	t.Run("an image that is not there is named", func(t *testing.T) {
		refused(t, 3, []string{"SYNC-006"}, in("dev", "--cleanup", "--yes")...)
		must(t, allowed("dev", "--cleanup", "--yes")...)
		empty(t)
		save(t, filepath.Join(dir, "base/job.yaml"), strings.Replace(files["base/job.yaml"], "/e2e/runtime:1", "/e2e/none:1", 1))
		refused(t, 3, []string{"SYNC-004", "its registry says"}, allowed("dev", "--once")...)
		save(t, filepath.Join(dir, "base/job.yaml"), files["base/job.yaml"])

		save(t, filepath.Join(dir, "kubectl-ai.yaml"), files["kubectl-ai.yaml"]+"agent: {image: \"localhost:"+registryPort+"/e2e/agent:none\"}\n")
		stuck := startDev(t, allowed()...)
		eventually(t, time.Minute, func() error {
			if s := stuck.stderr.String(); !strings.Contains(s, "waits: ") || !strings.Contains(s, "/e2e/agent:none") {
				return fmt.Errorf("dev does not say which image cannot be pulled")
			}
			return nil
		})
		stuck.stop()
		must(t, allowed("dev", "--cleanup", "--yes")...)
		empty(t)
		save(t, filepath.Join(dir, "kubectl-ai.yaml"), files["kubectl-ai.yaml"]+"agent: {image: \""+agent.Image+"\"}\n")
	})

	t.Run("dev --cleanup leaves nothing but the namespace", func(t *testing.T) {
		must(t, allowed("dev", "--once")...)
		must(t, allowed("dev", "--cleanup", "--yes")...)
		empty(t)
		kubectl(t, productionName, "get", "namespace", ns)
	})
}
