package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// artifact is a manifest that refers to another one; its layers are nobody's.
type artifact struct{ manifest v1.Manifest }

func (a artifact) RawManifest() ([]byte, error)        { return json.Marshal(a.manifest) }
func (a artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func TestReferrersAreListedByTheirOwnType(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	host := serve(t, dir)
	img := push(t, host+"/a/b:1")
	subject, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	config := v1.Descriptor{MediaType: "application/vnd.oci.empty.v1+json", Digest: subject.Digest, Size: 2}
	for tag, kind := range map[string]string{"sbom": "application/vnd.cyclonedx+json", "provenance": "application/vnd.in-toto+json", "untyped": ""} {
		m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: kind, Config: config, Layers: []v1.Descriptor{}, Subject: subject}
		if err := remote.Put(reference(t, host+"/a/b:"+tag), artifact{m}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(host, query string) (map[string]int, http.Header) {
		t.Helper()
		answer, err := http.Get("http://" + host + "/v2/a/b/referrers/" + digest(t, img) + query)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var index v1.IndexManifest
		if err := json.NewDecoder(answer.Body).Decode(&index); err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != string(types.OCIImageIndex) {
			t.Fatalf("%s, %v", answer.Status, err)
		}
		types := map[string]int{}
		for _, d := range index.Manifests {
			types[d.ArtifactType]++
		}
		return types, answer.Header
	}
	for _, where := range []string{host, serve(t, dir)} { // and after a restart
		all, _ := list(where, "")
		if len(all) != 3 || all["application/vnd.cyclonedx+json"] != 1 || all["application/vnd.in-toto+json"] != 1 || all[string(config.MediaType)] != 1 {
			t.Errorf("%v", all)
		}
		some, header := list(where, "?artifactType=application/vnd.in-toto%2Bjson")
		if len(some) != 1 || some["application/vnd.in-toto+json"] != 1 || header.Get("OCI-Filters-Applied") != "artifactType" {
			t.Errorf("%v, %v", some, header)
		}
	}
	for path, want := range map[string]int{"a/none/referrers/" + digest(t, img): http.StatusNotFound, "a/b/referrers/sha256:1": http.StatusBadRequest} {
		answer, err := http.Get("http://" + host + "/v2/" + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s", strings.SplitN(path, "/", 3)[1], answer.Status)
		}
	}
}
