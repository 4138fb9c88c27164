package edge_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/edge"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// program says what it sees of its environment.
const program = `import os, sys
print(sys.argv[1:], os.getcwd().rsplit("/", 1)[1], os.environ.get("GREETING"), os.environ["MODEL_DIGEST"])
sys.stdout.write(open(os.environ["MODEL_FILE"]).read())
`

// source writes the code of a project, with every kind of file.
func source(t *testing.T) (string, carrier.Code) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"serve.py": 0o644, "lib/tool.sh": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(program), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("lib/tool.sh", filepath.Join(dir, "tool")); err != nil {
		t.Fatal(err)
	}
	return dir, scanned(t, dir)
}

func scanned(t *testing.T, dir string) carrier.Code {
	t.Helper()
	index, err := tree.Scan(t.Context(), dir, tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return carrier.Folder(dir, index)
}

var (
	trained = edge.Model{Name: "it's a model.json", Content: []byte("{\"weights\": []}\n")}
	started = edge.Start{Args: []string{"serve.py", "--name", "it's"}, Env: []edge.Variable{{"GREETING", "a 'quoted' $HOME"}, {"MODEL_FILE", "/of/a/pod"}}}
)

func made(t *testing.T, code carrier.Code) *edge.Bundle {
	t.Helper()
	b, err := edge.New("digits", code, trained, started)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheSameIsTheSameBytes(t *testing.T) {
	dir, code := source(t)
	one, err := made(t, code).Archive()
	if err != nil {
		t.Fatal(err)
	}
	// Neither times nor modes beyond the executable bit are in it.
	file := filepath.Join(dir, "serve.py")
	if err := errors.Join(os.Chtimes(file, time.Now(), time.Unix(1, 0)), os.Chmod(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	two, err := made(t, scanned(t, dir)).Archive()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("two archives of the same differ")
	}
	var digests []string
	for range 2 {
		artifact, err := made(t, code).Artifact()
		if err != nil {
			t.Fatal(err)
		}
		digest, err := artifact.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
		layers, err := artifact.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%d layers, %v", len(layers), err)
		}
		layer, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(layer); err != nil || !bytes.Equal(content, one) {
			t.Errorf("the artifact's layer is not the archive: %v", err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two artifacts of the same are %v", digests)
	}
}

func TestTheFolderIsWhatTheArchiveHolds(t *testing.T) {
	_, code := source(t)
	b := made(t, code)
	into := filepath.Join(t.TempDir(), "dist")
	folder, archive, err := b.Write(into)
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	check.Dir = folder
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	if got := scanned(t, filepath.Join(folder, "app")).Digest(); got != code.Digest() || b.Tree != got.String() {
		t.Errorf("the code is %s, was %s", got, code.Digest())
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(trained.Content)); b.Model != want {
		t.Errorf("the model is %s, want %s", b.Model, want)
	}
	packed, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	inside := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		inside[strings.TrimSuffix(h.Name, "/")] = fmt.Sprintf("%o %s%s", h.Mode, content, h.Linkname)
	}
	outside := map[string]string{}
	if err := filepath.WalkDir(folder, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(into, at)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var content []byte
		switch {
		case entry.Type() == fs.ModeSymlink:
			target, err := os.Readlink(at)
			outside[name] = "777 " + target
			return err
		case !entry.IsDir():
			content, err = os.ReadFile(at)
		}
		outside[name] = fmt.Sprintf("%o %s", info.Mode().Perm(), content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outside, inside); diff != "" {
		t.Error(diff)
	}
}

// run.sh starts Python in the code, from anywhere, and leaves no trace there.
func TestItRunsWithPlainPython(t *testing.T) {
	_, code := source(t)
	b := made(t, code)
	folder, _, err := b.Write(filepath.Join(t.TempDir(), "a place"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		env  string
		want string
	}{
		{"as the bundle serves", nil, "", "['--name', \"it's\"] app a 'quoted' $HOME " + b.Model + "\n" + string(trained.Content)},
		{"another program, and the device's own setting", []string{"serve.py", "x y"}, "GREETING=", "['x y'] app  " + b.Model + "\n" + string(trained.Content)},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "run.sh"), test.args...)
			cmd.Dir = "/"
			cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
			if test.env != "" {
				cmd.Env = append(cmd.Env, test.env)
			}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != test.want {
				t.Errorf("got %q, want %q, %v", out, test.want, err)
			}
		})
	}
	if got := scanned(t, filepath.Join(folder, "app")).Digest(); got != code.Digest() {
		t.Error("running it changed the code")
	}
}

func TestWriteReplacesItsOwnAndNothingElse(t *testing.T) {
	dir, code := source(t)
	into := t.TempDir()
	if _, _, err := made(t, code).Write(into); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "tool")); err != nil {
		t.Fatal(err)
	}
	folder, _, err := made(t, scanned(t, dir)).Write(into)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(folder, "app/tool")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file that is gone from the code is still there")
	}
	if left, err := os.ReadDir(into); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, place := range []string{"digits/x", "digits.tar.gz"} {
		into := t.TempDir()
		theirs := filepath.Join(into, place)
		if err := errors.Join(os.MkdirAll(filepath.Dir(theirs), 0o755), os.WriteFile(theirs, []byte("theirs"), 0o644)); err != nil {
			t.Fatal(err)
		}
		var foreign *edge.ForeignError
		if _, _, err := made(t, code).Write(into); !errors.As(err, &foreign) {
			t.Errorf("%s: got %v", place, err)
		}
		if content, err := os.ReadFile(theirs); err != nil || string(content) != "theirs" {
			t.Errorf("%s was touched: %q, %v", place, content, err)
		}
	}
}

func TestWhatCannotBePacked(t *testing.T) {
	dir, code := source(t)
	var name *edge.NameError
	if _, err := edge.New("digits", code, trained, edge.Start{Args: []string{"x.py"}, Env: []edge.Variable{{"a.b", "c"}}}); !errors.As(err, &name) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "serve.py"), []byte("saved meanwhile"), 0o644); err != nil {
		t.Fatal(err)
	}
	var changed *carrier.ChangedError
	if _, err := edge.New("digits", code, trained, started); !errors.As(err, &changed) {
		t.Errorf("got %v", err)
	}
	empty := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + "s", t.TempDir()} {
		var model *edge.ModelError
		if _, err := edge.ReadModel(file); !errors.As(err, &model) {
			t.Errorf("got %v", err)
		}
	}
}

func TestTheBundleSaysWhatIsStarted(t *testing.T) {
	object := func(text string) *unstructured.Unstructured {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
			t.Fatal(err)
		}
		return obj
	}
	const serve = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: serve, labels: {kubectl-ai.dev/stage: serve}}, spec: {template: {spec: {containers: [
{name: proxy, command: [envoy, -c, x]}, {name: serve, workingDir: /app, command: [/usr/bin/python3.11, serve.py], args: [-v], env: [
{name: MODEL_NAME, value: m}, {name: B, value: ""}, {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: C, value: $(POD)}]}]}}}}`
	job := strings.NewReplacer("stage: serve", "stage: train").Replace(serve)
	got, err := edge.FromBundle([]*unstructured.Unstructured{object(job), object(serve)}, "production")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(edge.Start{Args: []string{"serve.py", "-v"}, Env: []edge.Variable{{"B", ""}, {"MODEL_NAME", "m"}}}, got); diff != "" {
		t.Error(diff)
	}
	var none *edge.NoProgramError
	if _, err := edge.FromBundle([]*unstructured.Unstructured{object(job)}, "production"); !errors.As(err, &none) {
		t.Errorf("got %v", err)
	}
}
