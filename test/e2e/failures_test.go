//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// failure is a command that cannot succeed, and what it has to say of that.
type failure struct {
	name string
	id   string
	exit int
	says string // the cause
	next string
	// inject breaks something for real and runs a command into it.
	inject func(t *testing.T) result
}

// aiWith is ai with variables of its own. Its stdin is no terminal.
func aiWith(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), plugin, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the exit code tells
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// runs is a failure that needs a command line and nothing else.
func runs(args ...string) func(*testing.T) result {
	return func(t *testing.T) result { return ai(t, args...) }
}

// on runs a command on a bundle of one Job that sleeps, whose files are edited.
func on(edit map[string]string, args ...string) func(*testing.T) result {
	return func(t *testing.T) result {
		dir := broken{}.bundle(t, "fails-bundle")
		for name, content := range edit {
			if content == "" {
				_ = os.RemoveAll(filepath.Join(dir, name))
				continue
			}
			write(t, dir, map[string]string{name: content})
		}
		return ai(t, append(args, dir)...)
	}
}

// with runs a command with a kubeconfig that was edited.
func with(edit func(t *testing.T, c *api.Config), args ...string) func(*testing.T) result {
	return func(t *testing.T) result {
		c, err := clientcmd.LoadFromFile(config)
		if err != nil {
			t.Fatal(err)
		}
		c.CurrentContext = "kind-" + sandboxName
		edit(t, c)
		path := filepath.Join(t.TempDir(), "kubeconfig")
		if err := clientcmd.WriteToFile(*c, path); err != nil {
			t.Fatal(err)
		}
		return ai(t, append(args, "--dir", broken{}.bundle(t, "fails-config"), "--kubeconfig", path)...)
	}
}

// server points a kubeconfig at another address.
func server(address func(t *testing.T) string) func(*testing.T, *api.Config) {
	return func(t *testing.T, c *api.Config) { c.Clusters["kind-"+sandboxName].Server = "https://" + address(t) }
}

// takenPort is a port of this machine that somebody else has.
func takenPort(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// onDisk runs a command on a bundle on a disk of 400 KiB, which is full or
// read-only, and wants the bundle as it was.
func onDisk(flags uintptr, fill bool) func(*testing.T) result {
	return func(t *testing.T) result {
		disk := t.TempDir()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=400k"); err != nil {
			t.Fatalf("mount a small disk (needs root): %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
		from := broken{}.bundle(t, "fails-disk")
		write(t, from, map[string]string{"overlays/production/kustomization.yaml": "resources: [../../base]\n"})
		dir := filepath.Join(disk, "bundle")
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		if fill {
			_ = os.WriteFile(filepath.Join(disk, "checkpoint.bin"), make([]byte, 400<<10), 0o600) // until it is full
		}
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|flags, "size=400k"); err != nil {
			t.Fatal(err)
		}
		r := ai(t, "catalog", "add", "monitor", dir)
		for _, overlay := range []string{"sandbox", "production"} {
			name := filepath.Join("overlays", overlay, "kustomization.yaml")
			if is, was := read(t, filepath.Join(dir, name)), read(t, filepath.Join(from, name)); is != was {
				t.Errorf("half done: %s is %q, was %q", name, is, was)
			}
		}
		return r
	}
}

// waitForAdmission waits until the API server has read what was just told it to
// refuse the object: it reads policies and webhooks some time after it took them.
// Only their own words count: it may refuse an object for other reasons before.
func waitForAdmission(t *testing.T, ns, object string) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		out, err := tryKubectl(t.Context(), sandboxName, object, "create", "--dry-run=server", "-n", ns, "-f", "-")
		if err == nil || !strings.Contains(out, "Fridays") && !strings.Contains(out, "nobody.example.com") {
			return fmt.Errorf("the server does not refuse\n%s\nfor what stands in its way: %s", object, out)
		}
		return nil
	})
}

// waitForQuota waits until a namespace's quotas are enforced: the API server
// goes by the status, which a controller writes.
func waitForQuota(t *testing.T, ns string) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if hard := kubectl(t, sandboxName, "get", "resourcequotas", "-n", ns, "-o", "jsonpath={.items[*].status.hard}"); hard == "" {
			return fmt.Errorf("no quota of %s is enforced yet", ns)
		}
		return nil
	})
}

// in runs a bundle in a namespace that has something in it already.
func in(ns, before, more string) func(*testing.T) result {
	return func(t *testing.T) result {
		namespace(t, sandboxName, ns)
		if before != "" {
			apply(t, sandboxName, strings.ReplaceAll(before, "NS", ns))
			if strings.Contains(before, "admissionregistration") {
				t.Cleanup(func() {
					_, _ = tryKubectl(context.Background(), sandboxName, "", "delete", "validatingwebhookconfiguration,validatingadmissionpolicybinding,validatingadmissionpolicy", "--ignore-not-found", ns)
				})
				waitForAdmission(t, ns, more)
			}
			if strings.Contains(before, "ResourceQuota") {
				waitForQuota(t, ns)
			}
		}
		dir := broken{}.bundle(t, ns)
		if more != "" {
			write(t, dir, map[string]string{"base/more.yaml": more, "base/kustomization.yaml": "resources: [train.yaml, more.yaml]\n"})
		}
		return ai(t, "run", dir, "-o", "name")
	}
}

const lrSettings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {lr: '0.1'}\n"

func failures() []failure {
	unreadable := func(content string) func(t *testing.T) result {
		return func(t *testing.T) result {
			path := filepath.Join(t.TempDir(), "config")
			if content != "" {
				save(t, path, content)
			}
			return aiWith(t, []string{"KUBECONFIG=" + path}, "why", "x", "--dir", broken{}.bundle(t, "fails-config"))
		}
	}
	return []failure{
		// This machine.
		{"a dead engine", "SBX-001", 3, "Cannot connect to the Docker daemon at unix:///nowhere/docker.sock", "sudo systemctl start docker", func(t *testing.T) result {
			return aiWith(t, []string{"DOCKER_HOST=unix:///nowhere/docker.sock"}, "sandbox", "create", "--name", "fails-1")
		}},
		{"an engine that is not there", "SBX-001", 3, "podman: not installed", "docker info", func(t *testing.T) result {
			return aiWith(t, []string{"PATH=/nowhere", "KIND_EXPERIMENTAL_PROVIDER=podman"}, "sandbox", "create", "--name", "fails-2")
		}},
		{"a name that is taken", "SBX-002", 1, `sandbox "` + sandboxName + `" exists already`, "kubectl ai sandbox status --name " + sandboxName, runs("sandbox", "create", "--name", sandboxName)},
		{"a sandbox that is not there", "SBX-003", 1, "no sandbox \"nobody\"; there are: ", "--name", runs("sandbox", "status", "--name", "nobody")},
		{"a name that cannot be", "SBX-004", 2, `sandbox name "My_GPUs"`, "choose a name", runs("sandbox", "create", "--name", "My_GPUs")},
		{"a node image that is not there", "SBX-005", 3, "localhost:" + registryPort + "/none/node:v1", "kubectl ai sandbox image build", runs("sandbox", "create", "--name", "fails-3", "--gpus", "none", "--image", "localhost:"+registryPort+"/none/node:v1")},
		{"an image that makes no node", "SBX-013", 2, "/kind/version", "leave --image out", runs("sandbox", "create", "--name", "fails-4", "--gpus", "none", "--image", "python:3.11-slim")},
		{"a configuration with a mistake", "SBX-020", 2, "workers", "kind.sigs.k8s.io", func(t *testing.T) result {
			path := filepath.Join(t.TempDir(), "kind.yaml")
			save(t, path, "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nworkers: 3\n")
			return ai(t, "sandbox", "create", "--name", "fails-5", "--gpus", "none", "--config", path)
		}},
		{"a registry's port that is taken", "REG-001", 3, "is taken", "--registry-port", func(t *testing.T) result {
			_, port, _ := net.SplitHostPort(takenPort(t).Addr().String())
			return ai(t, "sandbox", "create", "--name", "fails-6", "--gpus", "none", "--registry", "--registry-port", port)
		}},
		{"a GPU that nobody made", "GPU-001", 2, "X9000", "--profile", runs("sandbox", "create", "--name", "fails-7", "--gpus", "fake", "--profile", "X9000")},
		{"an image that is not here", "SBX-012", 3, "no image localhost/none:1 in the container engine", "build the image", runs("sandbox", "load", "localhost/none:1", "--name", sandboxName)},
		{"nobody to answer", "USE-002", 2, "stdin is not a terminal", "--yes", runs("sandbox", "delete", "--name", sandboxName)},
		{"somebody who says no", "USE-003", 1, "the question was answered with no", "--yes", declined},
		{"a full disk", "HOST-001", 3, "no space left on device", "df -h", onDisk(0, true)},
		{"a disk that is read-only", "HOST-002", 3, "read-only file system", "another folder", onDisk(syscall.MS_RDONLY, false)},

		// The bundle.
		{"a field that nobody knows", "PRJ-001", 2, "unknown field metrcs", "correct the line", on(map[string]string{"kubectl-ai.yaml": "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetrcs: []\n"}, "render", "-e", "sandbox")},
		{"an environment that nobody knows", "PRJ-002", 2, `no environment "staging": the bundle has sandbox`, "name one of them", on(nil, "render", "-e", "staging")},
		{"an overlay that does not build", "PRJ-003", 2, "missing.yaml", "kubectl kustomize", on(map[string]string{"base/kustomization.yaml": "resources: [missing.yaml]\n"}, "render", "-e", "sandbox")},
		{"no container that gets the code", "PRJ-004", 2, "workingDir", "set workingDir", on(map[string]string{"base/train.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: main, image: x}]}\n"}, "run")},
		{"code that is not there", "PRJ-005", 2, "src", "point code[].path", on(map[string]string{"src": ""}, "run")},
		{"a base of another machine", "PRJ-006", 2, "https://example.invalid/base.yaml", "remoteBases: true", on(map[string]string{"base/kustomization.yaml": "resources: [https://example.invalid/base.yaml]\n"}, "render", "-e", "sandbox")},
		{"a stage that is not there", "RUN-002", 2, "it has train", "--stage train", on(nil, "run", "--stage", "tune")},
		{"a cluster that is no sandbox", "SYNC-006", 3, `context "others" is no sandbox`, "--allow-context others", on(map[string]string{"kubectl-ai.yaml": "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nenvironments: {sandbox: {context: others}}\n"}, "run")},

		// The way to the cluster.
		{"no kubeconfig", "CTX-001", 3, "does not exist", "kubectl config get-contexts", unreadable("")},
		{"a kubeconfig that is no YAML", "CTX-001", 3, "error loading config file", "kubectl config get-contexts", unreadable("clusters: [")},
		{"a kubeconfig that is a folder", "CTX-001", 3, "is a directory", "kubectl config get-contexts", func(t *testing.T) result {
			return aiWith(t, []string{"KUBECONFIG=" + t.TempDir()}, "why", "x", "--dir", broken{}.bundle(t, "fails-config"))
		}},
		{"another context", "CTX-001", 3, `context "prod-eu" does not exist`, "kubectl config get-contexts", with(func(*testing.T, *api.Config) {}, "why", "x", "--context", "prod-eu")},
		{"a server that is not there", "CTX-003", 3, "connection refused", "kubectl ai sandbox status", with(server(func(t *testing.T) string {
			l := takenPort(t)
			_ = l.Close()
			return l.Addr().String()
		}), "why", "x")},
		{"a server that says nothing", "GEN-124", 124, "the server was asked and did not answer", "--request-timeout", with(server(func(t *testing.T) string { return takenPort(t).Addr().String() }), "why", "x", "--request-timeout", "1s")},
		{"a certificate that nobody trusts", "CTX-006", 3, "certificate signed by unknown authority", "this machine's clock", with(func(t *testing.T, c *api.Config) {
			other := httptest.NewTLSServer(nil)
			t.Cleanup(other.Close)
			c.Clusters["kind-"+sandboxName].CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})
		}, "why", "x")},
		{"a token that has ended", "CTX-007", 4, "has expired", "log in again", with(func(t *testing.T, c *api.Config) {
			ns := namespace(t, sandboxName, "fails-token")
			kubectl(t, sandboxName, "create", "serviceaccount", "-n", ns, "gone")
			token := strings.TrimSpace(kubectl(t, sandboxName, "create", "token", "-n", ns, "gone"))
			kubectl(t, sandboxName, "delete", "serviceaccount", "-n", ns, "gone")
			review := "{apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {token: " + token + "}}"
			eventually(t, time.Minute, func() error { // the server remembers for a while who there is
				good, err := tryKubectl(t.Context(), sandboxName, review, "create", "-f", "-", "-o", "jsonpath={.status.authenticated}")
				if err != nil || good == "true" {
					return fmt.Errorf("the token is still good: %s", good)
				}
				return nil
			})
			c.AuthInfos[c.Contexts["kind-"+sandboxName].AuthInfo] = &api.AuthInfo{Token: token}
		}, "why", "x")},
		{"rights that are missing", "CTX-002", 4, `cannot get resource "configmaps"`, "kubectl auth can-i --list", with(func(t *testing.T, c *api.Config) {
			ns := namespace(t, sandboxName, "fails-rights")
			kubectl(t, sandboxName, "create", "serviceaccount", "-n", ns, "nobody")
			token := strings.TrimSpace(kubectl(t, sandboxName, "create", "token", "-n", ns, "nobody"))
			c.AuthInfos[c.Contexts["kind-"+sandboxName].AuthInfo] = &api.AuthInfo{Token: token}
		}, "runs", "show", "x")},

		// What the server does not take. Nothing is there then that why could explain.
		{"a run that nobody made", "RUN-001", 2, "no run zzzzzz in namespace", "kubectl ai runs list", with(func(*testing.T, *api.Config) {}, "why", "zzzzzz")},
		{"a kind that is not served", "APPLY-002", 3, "Trainer", "kubectl api-resources", in("fails-kind", "", "apiVersion: example.com/v1\nkind: Trainer\nmetadata: {name: t}\n")},
		{"a Secret that is too large", "APPLY-011", 1, "Too long", "correct the field", in("fails-large", "", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {weights: "+base64.StdEncoding.EncodeToString(make([]byte, 1100<<10))+"}\n")},
		{"a policy refuses an object", "APPLY-009", 1, "team policy: not on Fridays", "whoever wrote the policy", in("fails-policy", strings.ReplaceAll(policyOf, "RESOURCE", "services"), "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1}]}\n")},
		{"a webhook does not answer for an object", "APPLY-009", 1, `failed calling webhook "nobody.example.com"`, "kubectl get validatingwebhookconfigurations", in("fails-webhook", strings.ReplaceAll(webhookOf, "RESOURCE", "services"), "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1}]}\n")},
		{"a quota of objects", "APPLY-009", 1, "exceeded quota: team", "kubectl describe resourcequota", in("fails-quota", "{apiVersion: v1, kind: ResourceQuota, metadata: {name: team, namespace: NS}, spec: {hard: {count/configmaps: '0'}}}", lrSettings)},
		{"a namespace that does not go", "APPLY-010", 3, "is being terminated", "what holds it", func(t *testing.T) result {
			const ns = "fails-going"
			apply(t, sandboxName, "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+"}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: stuck, namespace: "+ns+", finalizers: [example.com/never]}}")
			t.Cleanup(func() {
				_, _ = tryKubectl(context.Background(), sandboxName, "", "patch", "configmap", "-n", ns, "stuck", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
			})
			kubectl(t, sandboxName, "delete", "namespace", ns, "--wait=false")
			return ai(t, "run", broken{}.bundle(t, ns), "-o", "name")
		}},
	}
}

// declined is somebody on a terminal who answers a question with no.
func declined(t *testing.T) result {
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keyboard.Close(); _ = tty.Close() }()
	cmd := exec.CommandContext(t.Context(), plugin, "sandbox", "delete", "--name", sandboxName)
	said := &lockedBuffer{}
	cmd.Stdin, cmd.Stderr = tty, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		if !strings.Contains(said.String(), "[y/N]") {
			return fmt.Errorf("nobody asks: %s", said)
		}
		return nil
	})
	if _, err := keyboard.WriteString("n\n"); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code tells
	return result{stderr: said.String(), code: cmd.ProcessState.ExitCode()}
}

// Each is told once, by its ID, with the cause and what helps, and with the
// exit code that `explain` promises.
func TestFailures(t *testing.T) {
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := f.inject(t)
			said := strings.Join(strings.Fields(r.stderr), " ")
			if r.code != f.exit || strings.Count(said, "error["+f.id+"]: ") != 1 || !strings.Contains(said, f.says) {
				t.Errorf("exit %d, want %d with %s and %q:\n%.2000s", r.code, f.exit, f.id, f.says, r.stderr)
			}
			if _, next, ok := strings.Cut(said, " next: "); !ok || !strings.Contains(next, f.next) {
				t.Errorf("no %q is next:\n%.2000s", f.next, r.stderr)
			}
			if strings.TrimSpace(r.stdout) != "" {
				t.Errorf("on stdout: %.500s", r.stdout)
			}
		})
	}
}

// TestFortyFailures counts what the tests above inject: no two are the same,
// each has an ID that explain knows, and with the same exit code.
func TestFortyFailures(t *testing.T) {
	var known struct {
		Items []struct {
			ID       string
			ExitCode int
		}
	}
	if err := json.Unmarshal([]byte(must(t, "explain", "-o", "json").stdout), &known); err != nil {
		t.Fatal(err)
	}
	exits := map[string]int{}
	for _, e := range known.Items {
		exits[e.ID] = e.ExitCode
	}
	seen := map[string]string{}
	count := func(name, id, says string, exit int) {
		if other, is := seen[id+" "+says]; is {
			t.Errorf("%q and %q are one failure", name, other)
		}
		if want, ok := exits[id]; !ok || want != exit {
			t.Errorf("%q: explain says exit %d of %s, not %d", name, want, id, exit)
		}
		seen[id+" "+says] = name
	}
	for _, f := range failures() {
		count(f.name, f.id, f.says, f.exit)
	}
	alone := len(seen)
	for _, b := range brokenRuns() {
		count(b.name, b.id, b.kind+" "+b.says, b.exit)
	}
	t.Logf("%d failures of commands, %d of runs that why explains", alone, len(seen)-alone)
	if len(seen) < 40 {
		t.Errorf("%d failures", len(seen))
	}
}

// A program that asked for JSON reads the error in the last line of stderr.
func TestAFailureAsJSON(t *testing.T) {
	r := ai(t, "sandbox", "status", "--name", "nobody", "-o", "json")
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	var e struct {
		APIVersion, Kind, ID, Message, Next string
		ExitCode                            int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil {
		t.Fatalf("%v: %s", err, r.stderr)
	}
	if e.Kind != "Error" || e.ID != "SBX-003" || e.ExitCode != r.code || e.Next == "" || !regexp.MustCompile(`no sandbox "nobody"`).MatchString(e.Message) || r.stdout != "" {
		t.Errorf("%+v", e)
	}
}
