package gitops_test

import (
	"archive/tar"
	"errors"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/klauspost/compress/gzip"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gitops"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: fields}
}

func objects(t *testing.T, job, epochs string) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		object(t, "apiVersion: batch/v1\nkind: Job\nmetadata: {name: "+job+", namespace: ml}\nspec: {parallelism: 2}\n"),
		object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: ml}\ndata: {epochs: \""+epochs+"\"}\n"),
		object(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'ml:reader'}\n"),
		object(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: ml}\n"),
	}
}

func files(t *testing.T, job, epochs string) gitops.Files {
	t.Helper()
	f, err := gitops.Of(objects(t, job, epochs), gitops.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFilesAreInTheOrderOfStages(t *testing.T) {
	f := files(t, "train-1a", "5")
	want := `# Written by kubectl ai promote. Edit the bundle, not these files.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- cluster/namespace-ml.yaml
- ml/configmap-settings.yaml
- cluster/clusterrole-ml_reader.yaml
- ml/job-train-1a.yaml
`
	if d := cmp.Diff(want, string(f["kustomization.yaml"])); d != "" {
		t.Error(d)
	}
	// Who prunes by these files must not end a run that goes on.
	for file, keeps := range map[string]bool{"ml/job-train-1a.yaml": true, "cluster/namespace-ml.yaml": true, "ml/configmap-settings.yaml": false} {
		for _, words := range []string{"kustomize.toolkit.fluxcd.io/prune: disabled", "argocd.argoproj.io/sync-options: Prune=false"} {
			if strings.Contains(string(f[file]), words) != keeps {
				t.Errorf("%s has %q: want %v\n%s", file, words, keeps, f[file])
			}
		}
	}
}

func TestAFolderChangesWhereTheObjectsDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deploy")
	write := func(f gitops.Files) gitops.Written {
		t.Helper()
		w, err := f.Write(dir)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	all := []string{"cluster/clusterrole-ml_reader.yaml", "cluster/namespace-ml.yaml", "ml/configmap-settings.yaml", "ml/job-train-1a.yaml", "kustomization.yaml"}
	if d := cmp.Diff(gitops.Written{Changed: all, Removed: []string{}}, write(files(t, "train-1a", "5"))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(gitops.Written{Changed: []string{}, Removed: []string{}, Unchanged: 5}, write(files(t, "train-1a", "5"))); d != "" {
		t.Error(d)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := gitops.Written{Changed: []string{"ml/configmap-settings.yaml", "ml/job-train-2b.yaml", "kustomization.yaml"}, Removed: []string{"ml/job-train-1a.yaml"}, Unchanged: 2}
	if d := cmp.Diff(want, write(files(t, "train-2b", "6"))); d != "" {
		t.Error(d)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || string(raw) != "theirs" {
		t.Errorf("a file of somebody else's is %q, %v", raw, err)
	}
}

func TestAFolderOfSomebodyElseIsLeftAlone(t *testing.T) {
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("resources: [base]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		var foreign *gitops.ForeignError
		if _, err := files(t, "train", "5").Write(dir); !errors.As(err, &foreign) {
			t.Errorf("%s: %v", name, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: %d files are there", name, len(entries))
		}
	}
}

// What a list names outside of its folder is not removed.
func TestAForgedListReachesNothing(t *testing.T) {
	root := t.TempDir()
	victim, dir := filepath.Join(root, "victim.yaml"), filepath.Join(root, "deploy")
	if _, err := files(t, "train", "5").Write(dir); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "kustomization.yaml")
	raw, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{victim: "theirs", list: string(raw) + "- ../victim.yaml\n- " + victim + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := files(t, "train", "6").Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}

func TestSecretsAreNotWrittenUnasked(t *testing.T) {
	all := append(objects(t, "train", "5"), object(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: token, namespace: ml}\nstringData: {a: secret}\n"))
	var secret *gitops.SecretError
	if _, err := gitops.Of(all, gitops.Options{}); !errors.As(err, &secret) || secret.Refs[0].Name != "token" {
		t.Fatalf("%v", err)
	}
	f, err := gitops.Of(all, gitops.Options{Secrets: true})
	if err != nil || !strings.Contains(string(f["ml/secret-token.yaml"]), "secret") {
		t.Errorf("%v\n%s", err, f["ml/secret-token.yaml"])
	}
}

func TestTheArtifactHoldsTheFolder(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(u.Host+"/team/deploy:production", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	for range 2 {
		img, err := files(t, "train", "5").Artifact(map[string]string{"org.opencontainers.image.revision": "sha256:abc"})
		if err != nil {
			t.Fatal(err)
		}
		ref, err := gitops.Push(t.Context(), img, tag)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, ref.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("two runs made %s", digests)
	}
	img, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	got := unpack(t, img)
	for name, content := range files(t, "train", "5") {
		if d := cmp.Diff(string(content), got[name]); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("it holds %v too", got)
	}
	manifest, err := img.Manifest()
	if err != nil || manifest.Annotations["org.opencontainers.image.revision"] != "sha256:abc" {
		t.Errorf("%+v, %v", manifest, err)
	}
}

// unpack reads the one layer as Flux does: gzip and tar.
func unpack(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	packed, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			out[h.Name] = string(content)
		}
	}
}
