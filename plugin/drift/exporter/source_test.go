package exporter

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kubectl-ai/kubectl-ai/sandbox/services/store"
)

const reference = `{"features": {"0": {"bounds": [0.5], "counts": [1, 2]}}}`

// The sandbox's store checks the signature, as Amazon's does.
func TestBucket(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.MakeBucket("models"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler(store.Keys{ID: "key", Secret: "secret"}))
	defer server.Close()
	training := s3.New(s3.Options{
		BaseEndpoint: aws.String(server.URL), UsePathStyle: true, Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
	b := &Bucket{Endpoint: server.URL, Name: "models", AccessKey: "key", SecretKey: "secret"}
	if _, err := b.Current(t.Context()); !errors.Is(err, ErrNoModel) {
		t.Errorf("no current model: %v", err)
	}
	for key, content := range map[string]string{"models/current": "sha256:aaaaaa\n", "models/aaaaaa/reference.json": reference} {
		if _, err := training.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: strings.NewReader(content)}); err != nil {
			t.Fatal(err)
		}
	}
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
	b.SecretKey = "guess"
	if _, err := b.Current(t.Context()); !errors.As(err, &missing) || missing.Code != http.StatusForbidden {
		t.Errorf("another secret: %v", err)
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
