//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// devRole is what dev needs on running workloads, and what applying a bundle
// of a Job and a Service adds to it: nothing beyond its namespace.
const devRole = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: dev, namespace: %[1]s}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [pods/log], verbs: [get]}
- {apiGroups: [""], resources: [pods/exec], verbs: [%[2]s]}
- {apiGroups: [""], resources: [pods/portforward], verbs: [%[2]s]}
- {apiGroups: [batch], resources: [jobs], verbs: [get, create, patch]}
- {apiGroups: [""], resources: [services], verbs: [get, create, patch]}
`

// as returns a kubeconfig for a service account of the namespace that reaches
// the sandbox under the sandbox's own context.
func as(t *testing.T, ns, account string) string {
	t.Helper()
	c, err := clientcmd.LoadFromFile(config)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(kubectl(t, sandboxName, "create", "token", "-n", ns, account))
	c.AuthInfos = map[string]*api.AuthInfo{c.Contexts["kind-"+sandboxName].AuthInfo: {Token: token}}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// granted waits until a service account may do some things and may not do
// others: the authorizer reads a Role some time after the server took it.
func granted(t *testing.T, ns, account string, want map[string]bool) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		for right, may := range want {
			verb, resource, _ := strings.Cut(right, " ")
			resource, sub, _ := strings.Cut(resource, "/")
			// It exits 1 with a no.
			said, _ := tryKubectl(t.Context(), sandboxName, "", "auth", "can-i", verb, resource, "--subresource="+sub, "-n", ns, "--as=system:serviceaccount:"+ns+":"+account)
			if answer := map[bool]string{true: "yes", false: "no"}[may]; !slices.Contains(strings.Fields(said), answer) {
				return fmt.Errorf("may %s %s: %s, want %s", account, right, said, answer)
			}
		}
		return nil
	})
}

// transports returns what dev said of each stream it opened.
func (d *devRun) transports() []string {
	var all []string
	for line := range strings.Lines(d.stderr.String()) {
		var e struct{ Kind, Transport string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind == "Connected" {
			all = append(all, e.Transport)
		}
	}
	return all
}

func TestDevNeedsNoMoreThanItsRole(t *testing.T) {
	const ns = "access"
	dir := bundle(t, sandboxName, ns, job(ns, 1, "        ports: [{name: http, containerPort: 18090}]\n"))
	apply(t, sandboxName, fmt.Sprintf(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: dev, namespace: %[1]s}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: dev, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: dev}
subjects: [{kind: ServiceAccount, name: dev, namespace: %[1]s}]
`, ns))
	kubeconfig := as(t, ns, "dev")
	before := ""
	for i, c := range []struct{ name, verbs, transport string }{
		{"get and create on pods/exec: WebSocket", "get, create", "websocket"},
		{"create alone: SPDY", "create", "spdy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			apply(t, sandboxName, fmt.Sprintf(devRole, ns, c.verbs))
			granted(t, ns, "dev", map[string]bool{"create pods/exec": true, "get pods/exec": c.transport == "websocket", "watch pods": true})
			dev := startDev(t, dir, "--kubeconfig", kubeconfig, "--events", "json")
			dev.next(1, 2*time.Minute)
			save(t, filepath.Join(dir, "src/generation.txt"), fmt.Sprintf("generation %d\n", i+1))
			got := dev.next(1, 30*time.Second)[0]
			if want := digestHere(t, filepath.Join(dir, "src")); got.TreeDigest != want {
				t.Errorf("the rank runs %s, the laptop has %s", got.TreeDigest, want)
			}
			if all := dev.transports(); len(all) != 1 || all[0] != c.transport {
				t.Errorf("transports = %v, want %s once", all, c.transport)
			}
			eventually(t, 20*time.Second, func() error {
				if s := dev.stderr.String(); !strings.Contains(s, fmt.Sprintf("generation %d 0\n", i+1)) {
					return fmt.Errorf("the log of the rank did not come")
				}
				return nil
			})
			eventually(t, 20*time.Second, func() error {
				if s := dev.stderr.String(); !strings.Contains(s, `:18090 (http)"`) {
					return fmt.Errorf("the port is not forwarded")
				}
				return nil
			})
			dev.stop()
			must(t, "verify", dir, "--kubeconfig", kubeconfig)
			now := identity(t, sandboxName, ns)
			if before != "" && now != before {
				t.Errorf("the workload changed:\n%s\nwas\n%s", now, before)
			}
			before = now
		})
	}

	t.Run("without pods/portforward that is said once, and dev goes on", func(t *testing.T) {
		apply(t, sandboxName, strings.Replace(fmt.Sprintf(devRole, ns, "create"), "pods/portforward", "pods/none", 1))
		granted(t, ns, "dev", map[string]bool{"create pods/exec": true, "create pods/portforward": false})
		dev := startDev(t, dir, "--kubeconfig", kubeconfig)
		dev.next(1, time.Minute)
		const said = "ports are not forwarded: create on pods/portforward is missing in namespace access"
		eventually(t, 20*time.Second, func() error {
			if n := strings.Count(dev.stderr.String(), said); n != 1 {
				return fmt.Errorf("said %d times: %s", n, said)
			}
			return nil
		})
		save(t, filepath.Join(dir, "src/generation.txt"), "generation 3\n")
		dev.next(1, 30*time.Second)
		if n := strings.Count(dev.stderr.String(), said); n != 1 {
			t.Errorf("said %d times: %s", n, said)
		}
	})

	t.Run("the fallback is said in words, once", func(t *testing.T) {
		r := must(t, "dev", "--once", dir, "--kubeconfig", kubeconfig)
		if strings.Count(r.stderr, "over spdy, as WebSocket was refused") != 1 || !strings.Contains(r.stderr, `cannot get resource "pods/exec"`) {
			t.Errorf("stderr: %s", r.stderr)
		}
	})

	for _, c := range []struct {
		name, role, id, want string
		granted              map[string]bool
	}{
		{"neither verb on pods/exec names what is missing", fmt.Sprintf(devRole, ns, `""`), "SYNC-011", `cannot create resource "pods/exec"`, map[string]bool{"create pods/exec": false, "watch pods": true}},
		{"no watch on pods names what is missing", strings.Replace(fmt.Sprintf(devRole, ns, "get, create"), "get, list, watch", "get, list", 1), "CTX-002", `cannot watch resource "pods"`, map[string]bool{"create pods/exec": true, "watch pods": false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			apply(t, sandboxName, c.role)
			granted(t, ns, "dev", c.granted)
			r := ai(t, "dev", "--once", dir, "--kubeconfig", kubeconfig, "--timeout", "30s")
			if r.code != 4 || !strings.Contains(r.stderr, c.id) || !strings.Contains(r.stderr, c.want) {
				t.Errorf("exit %d, want 4 with %s and %s: %s", r.code, c.id, c.want, r.stderr)
			}
		})
	}
	if now := identity(t, sandboxName, ns); now != before {
		t.Errorf("the workload changed:\n%s\nwas\n%s", now, before)
	}
}
