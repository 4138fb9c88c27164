package server

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// serve starts a server on a folder and returns its host.
func serve(t *testing.T, dir string) string {
	t.Helper()
	s, err := New(dir, log.New(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return strings.TrimPrefix(h.URL, "http://")
}

func reference(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func digest(t *testing.T, d interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func push(t *testing.T, ref string) v1.Image {
	t.Helper()
	img, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, ref), img); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestImagesSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	host := serve(t, dir)
	old := digest(t, push(t, host+"/team/app:v1"))
	moved := digest(t, push(t, host+"/team/app:v1"))
	nested := digest(t, push(t, host+"/team/app/v1:latest")) // a repository below a tag's name

	host = serve(t, dir)
	for ref, want := range map[string]string{
		host + "/team/app:v1":           moved,
		host + "/team/app@" + old:       old, // the tag moved on, pods pinned by digest stay
		host + "/team/app/v1:latest":    nested,
		host + "/team/app/v1@" + nested: nested,
	} {
		img, err := remote.Image(reference(t, ref))
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if got := digest(t, img); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
		if err := validate.Image(img); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	tags, err := remote.List(reference(t, host+"/team/app:x").Context())
	if err != nil || cmp.Diff([]string{"v1"}, tags) != "" {
		t.Errorf("tags %v, %v", tags, err)
	}
}

func TestAnIndexOfIndexesSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inner, err := random.Index(1024, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	outer := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: inner})
	if err := remote.WriteIndex(reference(t, serve(t, dir)+"/a:1"), outer); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(reference(t, serve(t, dir)+"/a:1"))
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, got) != digest(t, outer) {
		t.Error("another index came back")
	}
}

func TestADeletedTagStaysDeleted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	host := serve(t, dir)
	want := digest(t, push(t, host+"/a:1"))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+host+"/v2/a/manifests/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("delete: %s", response.Status)
	}
	host = serve(t, dir)
	if _, err := remote.Head(reference(t, host+"/a:1")); err == nil {
		t.Error("the tag came back")
	}
	if _, err := remote.Head(reference(t, host+"/a@"+want)); err != nil {
		t.Errorf("the digest went with the tag: %v", err)
	}
}

// send makes a request and returns status and headers.
func send(t *testing.T, method, url, body string, headers ...string) (int, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header
}

func TestUploads(t *testing.T) {
	t.Parallel()
	const content = "hello world"
	h, _, err := v1.SHA256(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	type request struct {
		method, path, body string // path: "" = the upload's location
		header             string // Content-Range
		want               int
	}
	for _, c := range []struct {
		name     string
		requests []request
		stored   bool
	}{
		{"in one request", []request{{"POST", "/v2/a/blobs/uploads/?digest=" + h.String(), content, "", 201}}, true},
		{"in two", []request{{"POST", "/v2/a/blobs/uploads/", "", "", 202}, {"PUT", "?digest=" + h.String(), content, "", 201}}, true},
		{"as a stream", []request{{"POST", "/v2/a/blobs/uploads/", "", "", 202}, {"PATCH", "", content, "", 202}, {"PUT", "?digest=" + h.String(), "", "", 201}}, true},
		{"in chunks", []request{
			{"POST", "/v2/a/blobs/uploads/", "", "", 202},
			{"PATCH", "", content[:5], "0-4", 202},
			{"GET", "", "", "", 204},
			{"PATCH", "", content[5:], "5-10", 202},
			{"PUT", "?digest=" + h.String(), "", "", 201},
		}, true},
		{"a chunk that does not fit", []request{{"POST", "/v2/a/blobs/uploads/", "", "", 202}, {"PATCH", "", content, "7-17", 416}}, false},
		{"other content than promised", []request{{"POST", "/v2/a/blobs/uploads/?digest=" + h.String(), "evil", "", 400}}, false},
		{"no digest at the end", []request{{"POST", "/v2/a/blobs/uploads/", "", "", 202}, {"PUT", "", content, "", 400}}, false},
		{"given up", []request{{"POST", "/v2/a/blobs/uploads/", "", "", 202}, {"DELETE", "", "", "", 204}, {"PATCH", "", content, "", 404}}, false},
		{"an upload that nobody began", []request{{"PATCH", "/v2/a/blobs/uploads/abcd", content, "", 404}}, false},
		{"a path instead of an upload", []request{{"PATCH", "/v2/a/blobs/uploads/..%2f..%2fx", content, "", 404}}, false},
		{"mounting what is not there begins an upload", []request{{"POST", "/v2/a/blobs/uploads/?mount=" + h.String() + "&from=b", "", "", 202}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			base := "http://" + serve(t, dir)
			location := ""
			for i, r := range c.requests {
				path := r.path
				if !strings.HasPrefix(path, "/") {
					path = location + path
				}
				code, header := send(t, r.method, base+path, r.body, "Content-Range", r.header)
				if code != r.want {
					t.Fatalf("request %d, %s %s: %d, want %d", i, r.method, path, code, r.want)
				}
				if l := header.Get("Location"); code != 201 && l != "" {
					location = l
				}
			}
			code, header := send(t, "HEAD", base+"/v2/b/blobs/"+h.String(), "")
			if (code == 200) != c.stored || c.stored && header.Get("Content-Length") != fmt.Sprint(len(content)) {
				t.Errorf("blob: %d, %v", code, header)
			}
			if c.stored {
				if code, _ := send(t, "POST", base+"/v2/c/blobs/uploads/?mount="+h.String()+"&from=a", ""); code != 201 {
					t.Errorf("mount: %d", code)
				}
			}
		})
	}
}

func TestManifestsAreChecked(t *testing.T) {
	t.Parallel()
	base := "http://" + serve(t, t.TempDir())
	other := "sha256:" + strings.Repeat("0", 64)
	if code, _ := send(t, "PUT", base+"/v2/a/manifests/"+other, "{}"); code != 400 {
		t.Errorf("a manifest under a digest that is not its own: %d", code)
	}
	for _, path := range []string{"/v2/../manifests/x", "/v2/a/manifests/..", "/v2/A/manifests/x", "/v2/a/manifests/.hidden"} {
		if code, _ := send(t, "PUT", base+path, "{}"); code != 400 {
			t.Errorf("PUT %s: %d", path, code)
		}
	}
	if code, _ := send(t, "PUT", base+"/v2/a/manifests/big", strings.Repeat(" ", maxManifest+1)); code != 413 {
		t.Errorf("a huge manifest: %d", code)
	}
}

func TestUnfinishedUploadsAreCleared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	send(t, "POST", "http://"+serve(t, dir)+"/v2/a/blobs/uploads/", "")
	serve(t, dir)
	if left, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add("team%2Fapp", "v1", []byte("application/vnd.oci.image.index.v1+json\n{}"))
	f.Add("a", "sha256:00", []byte("\n"))
	f.Fuzz(func(t *testing.T, repo, target string, content []byte) {
		dir := t.TempDir()
		if strings.ContainsAny(repo+target, "/\x00") || repo == "" || target == "" || strings.Trim(repo, ".") == "" || strings.Trim(target, ".") == "" || len(repo)+len(target) > 200 {
			return
		}
		at := filepath.Join(dir, "manifests", repo)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return
		}
		if err := os.WriteFile(filepath.Join(at, target), content, 0o644); err != nil {
			return
		}
		if _, err := New(dir, log.New(&bytes.Buffer{}, "", 0)); err != nil {
			t.Error(err)
		}
	})
}
