package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
)

func sample(t *testing.T, content, arch string) *Image {
	t.Helper()
	img, err := FromBinary(strings.NewReader(content), arch, "/bin/agent", []string{"/bin/agent"}, "kubectl-ai/agent:test")
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestFromBinaryIsDeterministic(t *testing.T) {
	t.Parallel()
	digest := func(img *Image) string {
		h, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return h.String()
	}
	first := digest(sample(t, "program", "amd64"))
	// A constant: an image made by another build of this tool has it too.
	if want := "sha256:9e7f9e54e20f62a594b984df68a7b2c2ba2cbed7d405ac03b9fe9be877e072d5"; first != want {
		t.Errorf("digest %s, want %s", first, want)
	}
	if second := digest(sample(t, "program", "amd64")); second != first {
		t.Errorf("twice the same program: %s and %s", first, second)
	}
	for name, other := range map[string]*Image{"content": sample(t, "other", "amd64"), "architecture": sample(t, "program", "arm64")} {
		if digest(other) == first {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

func TestFromBinaryHoldsTheProgramAlone(t *testing.T) {
	t.Parallel()
	img := sample(t, "program", "amd64")
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"linux", "amd64", "/bin/agent"}, []string{config.OS, config.Architecture, config.Config.Entrypoint[0]}); diff != "" {
		t.Error(diff)
	}
	content := mutate.Extract(img.Image)
	defer func() { _ = content.Close() }()
	var got []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name)
	}
	if diff := cmp.Diff([]string{"dtrwxrwxrwx tmp", "drwxr-xr-x bin", "-rwxr-xr-x bin/agent"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTarballEndsWhenItsReaderGoesAway(t *testing.T) {
	t.Parallel()
	archive := sample(t, strings.Repeat("x", 1<<20), "amd64").Tarball()
	if _, err := io.CopyN(io.Discard, archive, 100); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Error(err)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	programs := fstest.MapFS{"linux-amd64/ai-agent": {Data: []byte("elf")}}
	f, err := Payload(programs, "amd64", "ai-agent")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for _, programs := range []fs.FS{nil, programs} {
		_, err := Payload(programs, "arm64", "ai-agent")
		var none *NoPayloadError
		if !errors.As(err, &none) || none.Name != "linux-arm64/ai-agent" {
			t.Errorf("got %v", err)
		}
	}
}

// nodes returns nodes on an engine that is a shell script, and the folder
// that it runs in.
func nodes(t *testing.T, script string, names ...string) (*engine.Engine, []cluster.Node, string) {
	t.Helper()
	e, dir := enginetest.Script(t, script)
	var list []cluster.Node
	for _, name := range names {
		list = append(list, cluster.NewNode(e, name, cluster.Worker))
	}
	return e, list, dir
}

// archive is the content and what comes after it: an end, an error, no end.
func archive(content string, then io.Reader) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		_, err := io.Copy(w, io.MultiReader(strings.NewReader(content), then))
		return err
	}
}

func TestLoadGivesEveryNodeTheWholeArchive(t *testing.T) {
	t.Parallel()
	_, list, dir := nodes(t, `cat >"$4"`, "a", "b", "c") // exec --privileged -i NODE
	content := strings.Repeat("archive", 100_000)
	if err := Load(t.Context(), list, archive(content, eof)); err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		got, err := os.ReadFile(filepath.Join(dir, n.Name))
		if err != nil || string(got) != content {
			t.Errorf("node %s got %d bytes of %d, %v", n, len(got), len(content), err)
		}
	}
}

func TestLoadEndsWhenANodeFails(t *testing.T) {
	t.Parallel()
	_, list, _ := nodes(t, `[ "$4" = b ] && { echo disk full >&2; exit 1; }; exec cat >/dev/null`, "a", "b")
	err := Load(t.Context(), list, archive("", zeros{}))
	if err == nil || !strings.Contains(err.Error(), "node b") || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

// TestLoadsAtOnceEnd holds, as containerd does, a lock in a node while a layer
// comes in: one load has it in the first node, another in the second, and each
// waits for the other's.
func TestLoadsAtOnceEnd(t *testing.T) {
	t.Parallel()
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	load := func(own, others string) func() error {
		_, list, _ := nodes(t, fmt.Sprintf(`
case "$4" in
own) exec 9>%[1]q; flock 9; : >%[1]q.held ;;
others) while ! [ -e %[2]q.held ]; do sleep 0.01; done; exec 9>%[2]q; flock 9 ;;
esac
cat >/dev/null`, own, others), "own", "others")
		return func() error {
			return Load(t.Context(), list, archive(strings.Repeat("layer", 1<<20), eof))
		}
	}
	var group errgroup.Group
	group.Go(load(first, second))
	group.Go(load(second, first))
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLoadSaysThatTheArchiveBroke(t *testing.T) {
	t.Parallel()
	_, list, _ := nodes(t, `cat >/dev/null`, "a")
	broken := errors.New("broken pipe upstream")
	err := Load(t.Context(), list, archive("x", failing{broken}))
	if !errors.Is(err, broken) && (err == nil || !strings.Contains(err.Error(), broken.Error())) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

var eof = failing{io.EOF}

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestLoadFromEngineSkipsNodesThatHaveTheImage(t *testing.T) {
	t.Parallel()
	e, list, dir := nodes(t, `
case "$1" in
image) echo sha256:1 ;;
save) echo archive ;;
exec) case "$*" in
  *inspecti*) case "$3" in old) echo '{"status":{"id":"sha256:0"}}' ;; new) echo '{"status":{"id":"sha256:1"}}' ;; *) exit 1 ;; esac ;;
  *) cat >"loaded-$4" ;;
  esac ;;
esac`, "old", "new", "none")
	if err := LoadFromEngine(t.Context(), e, list, "app:1"); err != nil {
		t.Fatal(err)
	}
	got, err := filepath.Glob(filepath.Join(dir, "loaded-*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(dir, "loaded-none"), filepath.Join(dir, "loaded-old")}, got); diff != "" {
		t.Error(diff)
	}
	if !Present(t.Context(), list[0], "app:1") || Present(t.Context(), list[2], "app:1") {
		t.Error("Present is wrong")
	}
}

func TestLoadFromEngineWithoutTheImage(t *testing.T) {
	t.Parallel()
	e, list, _ := nodes(t, `exit 1`, "a")
	err := LoadFromEngine(t.Context(), e, list, "app:1")
	var missing *NotFoundError
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
}

func TestSavesOnePlatform(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"1.41": false, "1.48": true, "1.52": true, "2.0": true, "": false} {
		if got := savesOnePlatform(&engine.Engine{Name: "docker", APIVersion: version}); got != want {
			t.Errorf("API %q: %v", version, got)
		}
	}
}
