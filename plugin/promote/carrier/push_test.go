package carrier

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

type quiet struct{}

func (quiet) Start(string)        {}
func (quiet) Note(string, ...any) {}
func (quiet) End(error)           {}

// newRegistry runs a registry and counts what is written to it.
func newRegistry(t *testing.T) (host string, writes *atomic.Int64) {
	t.Helper()
	writes = &atomic.Int64{}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			writes.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), writes
}

func platformImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := random.Image(256, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// engine is a container engine with one image.
type engine struct {
	img   v1.Image
	ref   string
	saves int
}

func (e *engine) ImageID(_ context.Context, ref string) (string, error) {
	if ref != e.ref {
		return "", nil
	}
	h, err := e.img.ConfigName()
	return h.String(), err
}

func (e *engine) Stream(_ context.Context, _ io.Reader, out io.Writer, args ...string) error {
	if !slices.Equal(args, []string{"save", e.ref}) {
		return errors.New("unexpected command")
	}
	e.saves++
	tag, err := name.NewTag(e.ref)
	if err != nil {
		return err
	}
	return tarball.Write(tag, e.img, out)
}

// targets returns the containers of a Job with one image.
func targets(t *testing.T, image string) []workload.Target {
	t.Helper()
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": "j", "namespace": "ns"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "a", "image": image, "workingDir": "/app"},
			map[string]any{"name": "b", "image": image, "workingDir": "/app"},
		}}}},
	}}
	out, err := workload.Select([]*unstructured.Unstructured{obj}, "/app", nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCarryPinsByDigestAndPushesOnce(t *testing.T) {
	host, writes := newRegistry(t)
	e := &engine{img: platformImage(t, "amd64"), ref: "127.0.0.1:1/runtime:3.11"} // no registry answers there
	code := newCode(t, sample, nil)
	cache := t.TempDir()
	carry := func() (*Result, []workload.Target) {
		t.Helper()
		list := targets(t, e.ref)
		layers := &Layers{Resolver: &Resolver{Engine: e, Cache: cache, Arches: []string{"amd64"}}, Registry: host + "/team", Project: "p"}
		result, err := layers.Carry(t.Context(), code.Code, list, quiet{})
		if err != nil {
			t.Fatal(err)
		}
		return result, list
	}
	result, list := carry()
	if writes.Load() != 0 {
		t.Error("something was pushed before Push")
	}
	if n, err := result.Push(t.Context(), quiet{}); err != nil || n != 1 {
		t.Fatalf("%d pushed, err = %v", n, err)
	}
	ref := list[0].Container.Image()
	if ref != list[1].Container.Image() || !strings.HasPrefix(ref, host+"/team/p/runtime@sha256:") {
		t.Errorf("images %s and %s", ref, list[1].Container.Image())
	}
	parsed, err := name.NewDigest(ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(parsed); err != nil {
		t.Errorf("the cluster could not pull it: %v", err)
	}
	before := writes.Load()
	again, list := carry()
	if n, err := again.Push(t.Context(), quiet{}); err != nil || n != 0 || writes.Load() != before {
		t.Errorf("%d pushed the second time, %d writes, err = %v", n, writes.Load()-before, err)
	}
	if list[0].Container.Image() != ref {
		t.Errorf("%s the second time, %s the first", list[0].Container.Image(), ref)
	}
	if e.saves != 1 {
		t.Errorf("the image was saved %d times", e.saves)
	}
}

func TestAnIndexOfTheRegistryIsCarriedForTheNodesPlatforms(t *testing.T) {
	host, _ := newRegistry(t)
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: platformImage(t, arch), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	runtime, err := name.NewTag(host + "/python:3.11")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(runtime, index); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		arches []string
		want   []string // platforms of the result; nil: a single image
	}{
		{"one architecture is one image", []string{"arm64"}, nil},
		{"two are an index", []string{"amd64", "arm64"}, []string{"amd64", "arm64"}},
		{"nobody knows the nodes: all", nil, []string{"amd64", "arm64", "riscv64"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := targets(t, runtime.String())
			layers := &Layers{Resolver: &Resolver{Cache: t.TempDir(), Arches: c.arches}, Registry: host, Project: "p"}
			result, err := layers.Carry(t.Context(), newCode(t, sample, nil).Code, list, quiet{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := result.Push(t.Context(), quiet{}); err != nil {
				t.Fatal(err)
			}
			ref, _ := name.NewDigest(list[0].Container.Image())
			got, err := remote.Get(ref)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == nil {
				if !got.MediaType.IsImage() {
					t.Errorf("media type %s", got.MediaType)
				}
				return
			}
			pushed, err := got.ImageIndex()
			if err != nil {
				t.Fatal(err)
			}
			manifest, _ := pushed.IndexManifest()
			var arches []string
			for _, m := range manifest.Manifests {
				arches = append(arches, m.Platform.Architecture)
			}
			if !slices.Equal(arches, c.want) {
				t.Errorf("platforms %v, want %v", arches, c.want)
			}
		})
	}
	t.Run("a platform that the image lacks", func(t *testing.T) {
		_, err := (&Resolver{Arches: []string{"s390x"}}).Base(t.Context(), runtime.String())
		var platform *PlatformError
		if !errors.As(err, &platform) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestCarryRefuses(t *testing.T) {
	code := newCode(t, sample, nil)
	layers := func(registry string) *Layers {
		return &Layers{Resolver: &Resolver{Cache: t.TempDir()}, Registry: registry, Project: "p", Environment: "production"}
	}
	t.Run("an environment without a registry", func(t *testing.T) {
		err := layers("").Able(t.Context(), code.Code, targets(t, "i"))
		var none *NoRegistryError
		if !errors.As(err, &none) || none.Environment != "production" {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a runtime image that nobody has", func(t *testing.T) {
		_, err := layers("127.0.0.1:1").Carry(t.Context(), code.Code, targets(t, "127.0.0.1:1/none:1"), quiet{})
		var base *BaseError
		if !errors.As(err, &base) || base.Image != "127.0.0.1:1/none:1" {
			t.Errorf("err = %v", err)
		}
	})
	for at, refused := range map[string]bool{"/app": true, "/app/": true, "/": true, "/app/out": false, "/application": false} {
		t.Run("a volume at "+at, func(t *testing.T) {
			list := targets(t, "i")
			list[1].Container.Map()["volumeMounts"] = []any{map[string]any{"name": "v", "mountPath": at}}
			err := uncovered(list)
			var covered *CoveredError
			if errors.As(err, &covered) != refused {
				t.Errorf("err = %v", err)
			}
		})
	}
	t.Run("a registry that does not take it", func(t *testing.T) {
		e := &engine{img: platformImage(t, "amd64"), ref: "127.0.0.1:1/r:1"}
		l := layers("127.0.0.1:1")
		l.Resolver.Engine = e
		result, err := l.Carry(t.Context(), code.Code, targets(t, e.ref), quiet{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = result.Push(t.Context(), quiet{})
		var push *PushError
		if !errors.As(err, &push) {
			t.Errorf("err = %v", err)
		}
	})
}
