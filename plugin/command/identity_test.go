package command

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// server is an API server that has a kube-system with a UID, or refuses to
// say, and nothing else. It writes down what it is asked.
func server(t *testing.T, uid string) (url string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var requests []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, r.Method+" "+r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		if uid == "" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "kube-system", "uid": %q}}`, uid)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return requests
	}
}

// pinned is a bundle and a factory whose contexts lead to servers.
func pinned(t *testing.T, production string, contexts map[string]string) (string, *Factory) {
	t.Helper()
	dir := t.TempDir()
	config := "apiVersion: v1\nkind: Config\ncurrent-context: none\nusers: [{name: u}]\nclusters:\n"
	for name, url := range contexts {
		config += fmt.Sprintf("- {name: %s, cluster: {server: %q}}\n", name, url)
	}
	config += "contexts:\n"
	for name := range contexts {
		config += fmt.Sprintf("- {name: %s, context: {cluster: %s, user: u}}\n", name, name)
	}
	for name, text := range map[string]string{
		"config":                                 config,
		"src/train.py":                           "",
		"kubectl-ai.yaml":                        "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: p}\nenvironments: {production: {" + production + "}}\n",
		"overlays/production/kustomization.yaml": "resources: [job.yaml]\n",
		"overlays/production/job.yaml":           "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {containers: [{name: c, image: i, workingDir: /app}]}}}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &Factory{Flags: genericclioptions.NewConfigFlags(true)}
	path := filepath.Join(dir, "config")
	f.Flags.KubeConfig = &path
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	f.Streams = term.Streams{IOStreams: streams}
	return dir, f
}

func TestAnotherClusterThanThePinnedOneIsAskedNothingElse(t *testing.T) {
	url, asked := server(t, "other")
	dir, f := pinned(t, "context: prod, clusterUID: mine", map[string]string{"prod": url})
	o := &PromoteOptions{PromotionOptions: PromotionOptions{Dir: dir, To: "production", Yes: true}}
	err := o.Run(t.Context(), f)
	var identity *promote.IdentityError
	if !errors.As(err, &identity) || identity.Want != "mine" || identity.Got != "other" {
		t.Fatalf("err = %v", err)
	}
	if e := explain.Find(err); e.ID != "PRO-060" || e.Exit != explain.ExitPrecondition || !strings.Contains(e.Next(err), "--context prod get namespace kube-system") {
		t.Errorf("%s, exit %d, next: %s", e.ID, e.Exit, e.Next(err))
	}
	if got := asked(); len(got) != 1 || got[0] != "GET /api/v1/namespaces/kube-system" {
		t.Errorf("it was asked %v", got)
	}
}

func TestAnIdentityThatMayNotBeReadRefuses(t *testing.T) {
	url, asked := server(t, "")
	dir, f := pinned(t, "context: prod, clusterUID: mine", map[string]string{"prod": url})
	err := history(t.Context(), f, dir, "production", nil, "")
	if e := explain.Find(err); e.ID != "PRO-060" || len(asked()) != 1 {
		t.Errorf("%s: %v; asked %v", e.ID, err, asked())
	}
}

func TestOneWrongClusterOfManyStopsAllBeforeTheyAreRead(t *testing.T) {
	right, askedRight := server(t, "a")
	wrong, askedWrong := server(t, "c")
	dir, f := pinned(t, "clusters: [{name: one, context: left, uid: a}, {name: two, context: right, uid: b}]", map[string]string{"left": right, "right": wrong})
	o := &RollbackOptions{PromotionOptions: PromotionOptions{Dir: dir, To: "production", Yes: true}}
	var identity *promote.IdentityError
	if err := o.Run(t.Context(), f); !errors.As(err, &identity) || identity.Context != "right" {
		t.Fatalf("err = %v", err)
	}
	// The other is asked who it is as well, at the same time, at most.
	if len(askedWrong()) != 1 || len(askedRight()) > 1 {
		t.Errorf("asked %v and %v", askedRight(), askedWrong())
	}
}

func TestWhichClustersAreMeant(t *testing.T) {
	dir, f := pinned(t, "clusters: [{name: one, context: x}, {name: two, context: y}]", nil)
	for _, c := range []struct {
		name  string
		run   func() error
		wants any
	}{
		{"a command of one cluster", func() error { _, err := openProduction(t.Context(), f, dir, "production", nil); return err }, new(*promote.ManyClustersError)},
		{"a cluster that is not there", func() error {
			return history(t.Context(), f, dir, "production", []string{"three"}, "")
		}, new(*promote.UnknownClusterError)},
		{"a context beside the clusters' own", func() error {
			given := "z"
			f.Flags.Context = &given
			defer func() { f.Flags.Context = nil }()
			return history(t.Context(), f, dir, "production", nil, "")
		}, new(*explain.UsageError)},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.run()
			if !errors.As(err, c.wants) || explain.Find(err).Exit != explain.ExitUsage {
				t.Errorf("err = %v", err)
			}
		})
	}
}
