//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// archive returns the files of a report by their names in its folder.
func archive(t *testing.T, content []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		out[name] = string(content)
	}
}

// supportReport is what `report -o json` prints, as far as tests look at it.
type supportReport struct {
	File    string
	Files   []struct{ Name string }
	Missing []struct{ Part, Reason string }
	Masked  map[string]int
}

// A run fails, and its pods and what it says are full of secrets. The report
// says why it failed, and none of them.
func TestAReportHasTheCauseAndNoSecret(t *testing.T) {
	const ns = "report"
	dir := runBundle(t, ns)
	planted := map[string]string{
		"of a Secret":        "plain-words-only-known-to-the-cluster",
		"short, of a Secret": "qx7vz",
		"of a variable":      "tr0ub4dor&3",
		"of a URL":           "Pa55-in-a-url",
		"token":              "hf_AbCdEfGhIjKlMnOpQrStUvWx",
		"private key":        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
		"signature":          "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
		"of a flag":          "s3cr3t-of-a-flag",
	}
	kubectl(t, sandboxName, "create", "secret", "generic", "db", "-n", ns, "--from-literal=phrase="+planted["of a Secret"], "--from-literal=pin="+planted["short, of a Secret"])
	write(t, dir, map[string]string{
		"overlays/sandbox/kustomization.yaml": read(t, filepath.Join(dir, "overlays/sandbox/kustomization.yaml")) + `
patches:
- target: {kind: Job, name: train}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/env, value: [
        {name: DB_PASSWORD, value: "` + planted["of a variable"] + `"},
        {name: DB_URL, value: "postgres://ml:` + planted["of a URL"] + `@db:5432/x"},
        {name: PHRASE, valueFrom: {secretKeyRef: {name: db, key: phrase}}},
        {name: PIN, valueFrom: {secretKeyRef: {name: db, key: pin}}}]}
    - {op: add, path: /spec/template/spec/containers/0/args, value: ["--api-key", "` + planted["of a flag"] + `"]}
`,
		"src/train.py": `import base64, json, os, sys
print("connecting to", os.environ["DB_URL"], "as", os.environ["DB_PASSWORD"])
print("phrase:", os.environ["PHRASE"], "pin", os.environ["PIN"])
print("in base64:", base64.b64encode(("user:" + os.environ["PHRASE"]).encode()).decode())
print(json.dumps(dict(os.environ)))
print("using ` + planted["token"] + ` of the hub")
print("-----BEGIN PRIVATE KEY-----\n` + planted["private key"] + `\n-----END PRIVATE KEY-----")
print("GET https://bucket.example/x?X-Amz-Date=1&X-Amz-Signature=` + planted["signature"] + ` 403")
print("arguments", sys.argv, flush=True)
import a_module_that_is_not_there
`,
	})
	r := ai(t, "run", dir, "--wait", "-o", "json")
	record := decodeRun[runRecord](t, r)
	if r.code != 1 || record.Phase != "Failed" {
		t.Fatalf("%d %+v %s", r.code, record, r.stderr)
	}

	file := filepath.Join(t.TempDir(), "report.tar.gz")
	made := must(t, "report", record.ID, "--dir", dir, "-f", file, "-o", "json")
	manifest := decodeRun[supportReport](t, made)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || manifest.File != file {
		t.Errorf("%v %v %+v", info, err, manifest)
	}
	if len(manifest.Missing) > 0 {
		t.Errorf("not collected: %+v", manifest.Missing)
	}
	files := archive(t, []byte(read(t, file)))
	for name, content := range files {
		for what, secret := range planted {
			// In base64 behind "user:", a group of three bytes begins with its second.
			for _, form := range []string{secret, base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawStdEncoding.EncodeToString([]byte(secret[1:]))[:4*(len(secret)/3)-4]} {
				if len(form) > 4 && strings.Contains(content, form) {
					t.Errorf("%s has the secret %s: %s", name, what, content)
				}
			}
		}
	}
	if why := files["why/"+record.ID+".txt"]; !strings.Contains(why, "there is no Python module a_module_that_is_not_there") {
		t.Errorf("the cause is not in it: %s", why)
	}
	log := ""
	for name, content := range files {
		if strings.HasPrefix(name, "logs/") {
			log += content
		}
	}
	for _, plain := range []string{"connecting to postgres://ml:<masked:", "@db:5432/x as <masked:", "phrase: <masked:", "ModuleNotFoundError", "X-Amz-Date=1"} {
		if !strings.Contains(log, plain) {
			t.Errorf("the log lacks %q: %s", plain, log)
		}
	}
	for name, plain := range map[string]string{
		"README.txt": record.ID, "doctor.txt": "DOC-010", "versions.txt": "cluster: 1.", "kubeconfig.yaml": "kind-" + sandboxName, "sandboxes.yaml": "name: " + sandboxName,
		"runs.yaml": record.CodeDigest, "cluster/pods.yaml": "python:3.11-slim", "cluster/jobs.yaml": record.Job, "cluster/nodes.yaml": "nvidia.com/gpu",
		"cluster/events.txt": record.Job, "cluster/secrets.txt": "phrase: 37 bytes", "bundle/sandbox.yaml": "secretKeyRef", "bundle/kubectl-ai.yaml": "threshold: 0.9",
		"bundle/code.txt": "train.py", "generations.yaml": "[]", "agents.txt": "no rank", "gpus/" + sandboxName + ".yaml": "product",
	} {
		if !strings.Contains(files[name], plain) {
			t.Errorf("%s lacks %q: %s", name, plain, files[name])
		}
	}
	if all := fmt.Sprint(files); strings.Contains(all, "client-key-data") || strings.Contains(all, "import base64") {
		t.Error("it has code, or credentials")
	}

	// A file is never replaced, and what was mistyped is said.
	if r := ai(t, "report", "--dir", dir, "-f", file); r.code != 3 || !strings.Contains(r.stderr, "REP-001") {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	other := filepath.Join(filepath.Dir(file), "other")
	if r := ai(t, "report", "nosuch", "--dir", dir, "-f", other); r.code != 2 || !strings.Contains(r.stderr, "RUN-001") {
		t.Errorf("%d %s", r.code, r.stderr)
	}

	// Without a cluster there is what the machine knows.
	dead := must(t, "report", record.ID, "--dir", dir, "-f", "-", "--kubeconfig", deadCluster(t), "--context", "dead")
	files = archive(t, []byte(dead.stdout))
	if !strings.Contains(dead.stderr, "not collected: cluster: pods, logs, runs") || !strings.Contains(files["README.txt"], "context dead: ") || files["doctor.txt"] == "" || files["bundle/sandbox.yaml"] == "" {
		t.Errorf("%s%v", dead.stderr, files["README.txt"])
	}

	// Ctrl-C in the middle leaves nothing. The server takes the question for
	// its version and does not answer.
	listener := takenPort(t)
	cmd := exec.Command(plugin, "report", "--dir", dir, "-f", other, "--kubeconfig", kubeconfigOf(t, "https://"+listener.Addr().String()), "--context", "dead")
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	_ = conn.Close()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit %d: %s", code, out)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// deadCluster is a kubeconfig whose context dead nobody answers.
func deadCluster(t *testing.T) string { return kubeconfigOf(t, "https://127.0.0.1:1") }

func kubeconfigOf(t *testing.T, server string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	save(t, file, `{apiVersion: v1, kind: Config, current-context: dead,
clusters: [{name: c, cluster: {server: "`+server+`"}}], users: [{name: u, user: {token: planted-token-of-a-user}}],
contexts: [{name: dead, context: {cluster: c, user: u}}]}
`)
	return file
}
