package tree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecretsAreHeldBackByName(t *testing.T) {
	for _, p := range []string{
		".env", "a/.env", ".env.local", ".env.production", "server.pem", "a/b/tls.key", "TLS.KEY", "id_rsa", ".ssh/id_ed25519", "id_ecdsa", ".netrc", ".pypirc",
		"credentials.json", "service-account.json", "service-account-prod.json", "service_account.json", "kubeconfig", "prod.kubeconfig", ".aws/credentials", "home/.aws/credentials", ".kube/config", ".docker/config.json",
	} {
		if secret(p, baseOf(p)) == "" {
			t.Errorf("%s passes", p)
		}
	}
	for _, p := range []string{
		".env.example", "a/.env.sample", ".env.template", "environment.py", "env", ".envrc", "id_rsa.pub", "pem.py", "keys.py", "credentials.py", "aws/credentials", "kubeconfig.py", "config.json", ".kube/config.py", "service.json",
	} {
		if reason := secret(p, baseOf(p)); reason != "" {
			t.Errorf("%s %s", p, reason)
		}
	}
}

func TestWhatIsHeldBack(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		"a.py": "", ".env": "", "conf/server.pem": "", "ignored.pem": "", ".gitignore": "ignored.pem\n!conf/server.pem\n",
		"allowed/.env": "", "allowed/" + IgnoreFile: "!.env\n", "listed.key": "", "odd [1].key": "", "small.bin": "", "large.bin": "", "allowed/large.bin": "", "key.pem/inside.py": "",
	})
	if err := os.Symlink("/etc/ssl/a.pem", filepath.Join(root, "link.pem")); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"small.bin": LargeBytes, "large.bin": LargeBytes + 1, "allowed/large.bin": LargeBytes + 1} {
		if err := os.Truncate(filepath.Join(root, name), size); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Ignore: []string{"!/listed.key", "!allowed/*.bin"}}
	s := NewScanner(root, o)
	ix, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".gitignore", "a.py", "allowed/.env", "allowed/" + IgnoreFile, "allowed/large.bin", "key.pem/inside.py", "link.pem", "listed.key", "small.bin"}
	if d := cmp.Diff(want, pathsOf(ix)); d != "" {
		t.Error(d)
	}
	held := []HeldBack{
		{".env", "may hold a password or a token", "!/.env"},
		{"conf/server.pem", "may hold a private key", "!/conf/server.pem"},
		{"large.bin", "has 33 MiB, more than 32", "!/large.bin"},
		{"odd [1].key", "may hold a private key", `!/odd \[1].key`},
	}
	if d := cmp.Diff(held, s.HeldBack()); d != "" {
		t.Error(d)
	}
	if got := held[0].String(); got != ".env is held back: it may hold a password or a token; to send it, put !/.env into .kubectl-ai-ignore" {
		t.Error(got)
	}

	// Rescans of other folders do not forget it; each Allow lets its file pass.
	if _, err := s.Rescan(t.Context(), []string{"allowed"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(held, s.HeldBack()); d != "" {
		t.Errorf("after a rescan elsewhere: %s", d)
	}
	var lines []string
	for _, h := range held {
		lines = append(lines, h.Allow)
	}
	put(t, root, map[string]string{IgnoreFile: strings.Join(lines, "\n")})
	if ix, err = s.Rescan(t.Context(), []string{"."}); err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		if _, ok := ix.Find(h.Path); !ok {
			t.Errorf("%q does not let %s pass", h.Allow, h.Path)
		}
	}
	if left := s.HeldBack(); len(left) > 0 {
		t.Errorf("still held back: %v", left)
	}
}

func TestAFileThatGrowsIsHeldBack(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"d/a.bin": "1"})
	s := NewScanner(root, Options{})
	ix, err := s.Scan(t.Context())
	if err != nil || len(ix) != 1 {
		t.Fatal(ix, err)
	}
	for _, c := range []struct {
		size    int64
		entries int
	}{{LargeBytes + 1, 0}, {LargeBytes, 1}} {
		if err := os.Truncate(filepath.Join(root, "d/a.bin"), c.size); err != nil {
			t.Fatal(err)
		}
		if ix, err = s.Rescan(t.Context(), []string{"d"}); err != nil || len(ix) != c.entries || len(s.HeldBack()) != 1-c.entries {
			t.Errorf("%d bytes: %v, %v, held back %v", c.size, pathsOf(ix), err, s.HeldBack())
		}
	}
}
