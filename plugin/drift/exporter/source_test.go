package exporter

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const reference = `{"features": {"0": {"bounds": [0.5], "counts": [1, 2]}}}`

func TestBucket(t *testing.T) {
	objects := map[string]string{"/bucket/models/current": "sha256:aaaaaa\n", "/bucket/models/aaaaaa/reference.json": reference}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed := r.Header.Get("Authorization")
		if !strings.HasPrefix(signed, "AWS4-HMAC-SHA256 Credential=key/") || !strings.Contains(signed, "/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date,") {
			http.Error(w, signed, http.StatusForbidden)
			return
		}
		object, ok := objects[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(object))
	}))
	defer server.Close()
	b := &Bucket{Endpoint: server.URL, Name: "bucket", AccessKey: "key", SecretKey: "secret"}
	current, err := b.Current(t.Context())
	if err != nil || current != "sha256:aaaaaa" {
		t.Fatalf("%q, %v", current, err)
	}
	if ref, err := b.Reference(t.Context(), current); err != nil || len(ref.Features) != 1 {
		t.Errorf("%v, %v", ref, err)
	}
	var missing *ObjectError
	if _, err := b.Reference(t.Context(), "sha256:bbbbbb"); !errors.As(err, &missing) || missing.Code != http.StatusNotFound {
		t.Errorf("a model without a reference: %v", err)
	}
	if _, err := b.Reference(t.Context(), "../../secrets"); err == nil || errors.As(err, &missing) {
		t.Errorf("no digest: %v", err)
	}
	delete(objects, "/bucket/models/current")
	if _, err := b.Current(t.Context()); !errors.Is(err, ErrNoModel) {
		t.Errorf("no current model: %v", err)
	}
	if _, err := (&Bucket{Endpoint: server.URL, Name: "bucket", AccessKey: "other"}).Current(t.Context()); !errors.As(err, &missing) || missing.Code != http.StatusForbidden {
		t.Errorf("other credentials: %v", err)
	}
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "reference.json")
	if _, err := File(name).Reference(t.Context(), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(name, []byte(reference), 0o600); err != nil {
		t.Fatal(err)
	}
	if ref, err := File(name).Reference(t.Context(), "any"); err != nil || len(ref.Features) != 1 {
		t.Errorf("%v, %v", ref, err)
	}
}
