package programimage

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

func payload(content string) fstest.MapFS {
	return fstest.MapFS{
		"linux-amd64/ai-agent": {Data: []byte("amd64 " + content)},
		"linux-arm64/ai-agent": {Data: []byte("arm64 " + content)},
	}
}

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

func TestPushBringsOneIndexForAllArchitectures(t *testing.T) {
	t.Parallel()
	host, _ := newRegistry(t)
	pushed, err := Agent.Push(t.Context(), payload("one"), host+"/team/agent")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(pushed.Image, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index, validate.Fast); err != nil { // the full one takes all layers for gzip
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.OCIImageIndex {
		t.Errorf("media type %s", manifest.MediaType)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, platforms); diff != "" {
		t.Error(diff)
	}
	for _, arch := range Arches {
		img, err := remote.Image(pushed.Tag, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{arch, "/ai-agent"}, []string{config.Architecture, config.Config.Entrypoint[0]}); diff != "" {
			t.Error(diff)
		}
	}
}

func TestPushSendsNothingThatIsThere(t *testing.T) {
	t.Parallel()
	host, writes := newRegistry(t)
	for _, ref := range []string{host + "/agent", host + "/agent:v1"} {
		first, err := Agent.Push(t.Context(), payload("one"), ref)
		if err != nil {
			t.Fatal(err)
		}
		before := writes.Load()
		again, err := Agent.Push(t.Context(), payload("one"), ref)
		if err != nil {
			t.Fatal(err)
		}
		if !first.Sent || again.Sent || writes.Load() != before || again.Image != first.Image {
			t.Errorf("%s: %+v, then %+v with %d writes", ref, first, again, writes.Load()-before)
		}
	}
	other, err := Agent.Push(t.Context(), payload("two"), host+"/agent:v1")
	if err != nil {
		t.Fatal(err)
	}
	head, err := remote.Head(other.Tag, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if !other.Sent || head.Digest.String() != other.Image.DigestStr() {
		t.Errorf("another build: %+v, and the tag is at %s", other, head.Digest)
	}
}

func TestWithoutATagTheImageGetsOneOfItsDigest(t *testing.T) {
	t.Parallel()
	host, _ := newRegistry(t)
	pushed, err := Agent.Push(t.Context(), payload("one"), host+"/agent")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := v1.NewHash(pushed.Image.DigestStr())
	if err != nil {
		t.Fatal(err)
	}
	if pushed.Tag.TagStr() != digest.Hex[:12] {
		t.Errorf("tag %s of %s", pushed.Tag, digest)
	}
}

func TestWhereAnImageCannotGo(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"", "agent", "team/agent:v1", "registry.example/Agent", "registry.example/agent@sha256:" + strings.Repeat("a", 64)} {
		_, err := Agent.Push(t.Context(), nil, ref)
		var bad *NameError
		if !errors.As(err, &bad) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	for _, ref := range []string{"docker.io/team/agent", name.DefaultRegistry + "/team/agent:1"} {
		_, err := Agent.Push(t.Context(), nil, ref)
		var none *image.NoPayloadError
		if !errors.As(err, &none) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

func TestARegistryThatRefuses(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(s.Close)
	_, err := Agent.Push(t.Context(), payload("one"), strings.TrimPrefix(s.URL, "http://")+"/agent")
	var refused *PushError
	if !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

func TestBuildIsNamedAfterTheProgram(t *testing.T) {
	t.Parallel()
	ref := func(content string) string {
		img, err := Agent.Build(payload(content), "amd64")
		if err != nil {
			t.Fatal(err)
		}
		return img.Ref
	}
	if one, two := ref("one"), ref("two"); one == two || one != ref("one") {
		t.Errorf("%s and %s", one, two)
	}
}

func TestManifestsNameTheServicesOfAnyBuild(t *testing.T) {
	t.Parallel()
	img, err := Services.Build(fstest.MapFS{"linux-arm64/ai-services": {Data: []byte("arm64")}}, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if img.Ref != "kubectl-ai/services:local" && img.Ref != "index.docker.io/kubectl-ai/services:local" {
		t.Errorf("the image is %s", img.Ref)
	}
	for ref, want := range map[string]bool{
		"kubectl-ai/services:local": true, "docker.io/kubectl-ai/services:local": true,
		"kubectl-ai/services": false, "kubectl-ai/services:v1": false, "registry.example/kubectl-ai/services:local": false,
	} {
		if Services.Names(ref) != want {
			t.Errorf("%s: %v", ref, !want)
		}
	}
	if Agent.Names("kubectl-ai/agent:") || Agent.Names("kubectl-ai/agent") {
		t.Error("the agent's image has no constant name")
	}
}
