package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

const users = `apiVersion: v1
kind: Config
current-context: work
clusters: [{name: work, cluster: {server: "https://work:6443", certificate-authority: ca.crt}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: work, context: {cluster: work, user: me, namespace: team}}]
`

const ours = `apiVersion: v1
kind: Config
current-context: kind-ai
clusters: [{name: kind-ai, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: kind-ai, user: {token: t}}]
contexts: [{name: kind-ai, context: {cluster: kind-ai, user: kind-ai}}]
`

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

// summary is what matters of a kubeconfig.
func summary(t *testing.T, path string) (current string, contexts []string) {
	t.Helper()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range config.Contexts {
		if config.Clusters[c.Cluster] == nil || config.AuthInfos[c.AuthInfo] == nil {
			t.Errorf("context %s points nowhere", name)
		}
		contexts = append(contexts, name+"/"+c.Namespace)
	}
	return config.CurrentContext, contexts
}

func TestAddContext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		before   string // "" = no file
		switchTo bool
		current  string
		contexts int
	}{
		{"keeps the user's current context", users, false, "work", 2},
		{"switches when asked", users, true, "kind-ai", 2},
		{"sets none in a new file", "", false, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "sub", "config")
			if c.before != "" {
				if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				writeFile(t, file, c.before)
			}
			m := &Manager{Kubeconfig: file}
			if err := m.addContext(t.Context(), writeFile(t, filepath.Join(dir, "new"), ours), "ai", c.switchTo); err != nil {
				t.Fatal(err)
			}
			current, contexts := summary(t, file)
			if current != c.current || len(contexts) != c.contexts {
				t.Errorf("current %q, contexts %v", current, contexts)
			}
			if c.before != "" {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("the file's mode changed: %v %v", info.Mode(), err)
				}
				content, err := os.ReadFile(file)
				if err != nil || !strings.Contains(string(content), "certificate-authority: ca.crt") {
					t.Errorf("a relative path was rewritten: %v\n%s", err, content)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*.lock")); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRemoveContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "config"), users)
	m := &Manager{Kubeconfig: file}
	if err := m.addContext(t.Context(), writeFile(t, filepath.Join(dir, "new"), ours), "ai", true); err != nil {
		t.Fatal(err)
	}
	if err := m.removeContext(t.Context(), "ai"); err != nil {
		t.Fatal(err)
	}
	current, contexts := summary(t, file)
	if current != "" || cmp.Diff([]string{"work/team"}, contexts) != "" {
		t.Errorf("current %q, contexts %v", current, contexts)
	}
}

func TestRemoveContextLeavesAFileWithoutItAlone(t *testing.T) {
	t.Parallel()
	file := writeFile(t, filepath.Join(t.TempDir(), "config"), users)
	if err := (&Manager{Kubeconfig: file}).removeContext(t.Context(), "ai"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(users, string(content)); diff != "" {
		t.Error(diff)
	}
}

func TestAddContextRenewsTheFileThatHasIt(t *testing.T) {
	dir := t.TempDir()
	first := writeFile(t, filepath.Join(dir, "first"), users)
	second := writeFile(t, filepath.Join(dir, "second"), strings.ReplaceAll(ours, "user: kind-ai}}]", "user: kind-ai, namespace: mine}}]"))
	t.Setenv("KUBECONFIG", first+string(os.PathListSeparator)+second)
	m := &Manager{}
	if err := m.addContext(t.Context(), writeFile(t, filepath.Join(dir, "new"), strings.ReplaceAll(ours, "127.0.0.1:1", "127.0.0.1:2")), "ai", false); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Clusters["kind-ai"].Server; got != "https://127.0.0.1:2" {
		t.Errorf("server %s", got)
	}
	if got := config.Contexts["kind-ai"].Namespace; got != "mine" {
		t.Errorf("the user's namespace became %q", got)
	}
}

func TestAddContextThroughASymlink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "real"), users)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	m := &Manager{Kubeconfig: link}
	if err := m.addContext(t.Context(), writeFile(t, filepath.Join(dir, "new"), ours), "ai", false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Readlink(link); err != nil {
		t.Error("the link became a file")
	}
	if _, contexts := summary(t, file); len(contexts) != 2 {
		t.Errorf("contexts %v", contexts)
	}
}

func TestALockThatStaysIsNamed(t *testing.T) {
	t.Parallel()
	file := writeFile(t, filepath.Join(t.TempDir(), "config"), users)
	writeFile(t, file+".lock", "")
	synctest.Test(t, func(t *testing.T) {
		err := (&Manager{Kubeconfig: file}).removeContext(t.Context(), "ai")
		var locked *LockedError
		if !errors.As(err, &locked) || locked.Lock != file+".lock" {
			t.Errorf("got %v", err)
		}
	})
}
