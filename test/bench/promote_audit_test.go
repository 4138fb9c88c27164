//go:build bench

package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const auditLog = "/var/log/kubernetes/audit.log"

// auditPolicy keeps what the kubeconfig's user asks for, one line a request;
// a watch has a line at its start too.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [kubernetes-admin]}
- {level: None}
`

const auditedConfig = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  extraMounts:
  - {hostPath: %q, containerPath: /etc/kubernetes/audit/policy.yaml, readOnly: true}
kubeadmConfigPatches:
- |
  kind: ClusterConfiguration
  apiServer:
    extraArgs:
    - {name: audit-policy-file, value: /etc/kubernetes/audit/policy.yaml}
    - {name: audit-log-path, value: %[2]s}
    - {name: audit-log-maxsize, value: "2000"}
    extraVolumes:
    - {name: audit, hostPath: /etc/kubernetes/audit, mountPath: /etc/kubernetes/audit, readOnly: true, pathType: DirectoryOrCreate}
    - {name: audit-log, hostPath: /var/log/kubernetes, mountPath: /var/log/kubernetes, pathType: DirectoryOrCreate}
`

// audited writes the configuration of a cluster whose API server keeps an
// audit log.
func audited(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	policy, config := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "kind.yaml")
	for path, content := range map[string]string{policy: auditPolicy, config: fmt.Sprintf(auditedConfig, policy, auditLog)} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return config
}

// request is a line of the audit log.
type request struct {
	AuditID   string `json:"auditID"`
	Verb      string `json:"verb"`
	URI       string `json:"requestURI"`
	UserAgent string `json:"userAgent"`
	Status    struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

func (r request) writes() bool {
	return slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, r.Verb) &&
		!strings.Contains(r.URI, "dryRun=All") && !strings.HasPrefix(r.URI, "/apis/authorization.k8s.io/") && !strings.HasPrefix(r.URI, "/apis/authentication.k8s.io/")
}

// auditSize is how far the log goes now.
func (b *bench) auditSize() int {
	b.t.Helper()
	out, err := exec.Command("docker", "exec", sandbox+"-control-plane", "stat", "-c", "%s", auditLog).Output()
	if err != nil {
		b.t.Fatalf("audit log: %v", err)
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		b.t.Fatal(err)
	}
	return size
}

// requests returns what a program asked for since the log had that size.
func (b *bench) requests(since int, agent string) []request {
	b.t.Helper()
	out, err := exec.Command("docker", "exec", sandbox+"-control-plane", "tail", "-c", fmt.Sprintf("+%d", since+1), auditLog).Output()
	if err != nil {
		b.t.Fatalf("audit log: %v", err)
	}
	var all []request
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			b.t.Fatalf("audit log: %v: %s", err, lines.Bytes())
		}
		if strings.HasPrefix(r.UserAgent, agent) && !seen[r.AuditID] {
			seen[r.AuditID] = true
			all = append(all, r)
		}
	}
	if err := lines.Err(); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// preflights says whether a request asks if a promotion can work, or waits for
// it, and does not plan, apply or record it.
func (r request) preflights() bool {
	path, query, _ := strings.Cut(r.URI, "?")
	if strings.Contains(query, "watch=true") || slices.Contains([]string{"resourcequotas", "limitranges", "pods", "replicasets"}, path[strings.LastIndexByte(path, '/')+1:]) {
		return true
	}
	if strings.HasPrefix(path, "/api/v1/namespaces") && strings.Count(path, "/") <= 4 {
		return true
	}
	return slices.ContainsFunc([]string{
		"/version", "/openapi", "/apis/authorization.k8s.io/", "/apis/authentication.k8s.io/", "/api/v1/nodes", "/api/v1/pods",
		"/apis/storage.k8s.io/", "/apis/scheduling.k8s.io/", "/apis/node.k8s.io/", "/apis/admissionregistration.k8s.io/", "/apis/apiextensions.k8s.io/",
		"/apis/kueue.x-k8s.io/",
	}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}
