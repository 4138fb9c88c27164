package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

var keys = Keys{ID: "sandbox", Secret: "sandbox-secret"}

// serve opens a folder and returns a client of AWS's own for it.
func serve(t *testing.T, dir string) (*Store, *s3.Client) {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.MakeBucket("digits"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler(keys))
	t.Cleanup(server.Close)
	return s, client(server.URL, keys)
}

func client(url string, keys Keys) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(url), UsePathStyle: true, Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keys.ID, keys.Secret, ""),
	})
}

func put(t *testing.T, c *s3.Client, key, body string) {
	t.Helper()
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("digits"), Key: &key, Body: strings.NewReader(body)}); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func get(ctx context.Context, c *s3.Client, key string) (string, error) {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("digits"), Key: &key})
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(out.Body)
	return string(body), errors.Join(err, out.Body.Close())
}

func code(err error) string {
	var said smithy.APIError
	if errors.As(err, &said) {
		return said.ErrorCode()
	}
	return fmt.Sprint(err)
}

func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestObjectsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, c := serve(t, dir)
	// Keys that no file could be called together, and one that would leave the folder.
	want := map[string]string{"a": "file", "a/b": "folder", "a//c": "", "../../etc/passwd": "up", "models/ключ": "Ω", strings.Repeat("long/", 200): "1000 bytes of key"}
	for key, body := range want {
		put(t, c, key, body)
	}
	_, c = serve(t, dir)
	for key, body := range want {
		if got, err := get(t.Context(), c, key); err != nil || got != body {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
}

func TestTheFolderIsItsOwnChecksumManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, c := serve(t, dir)
	put(t, c, "one", "same")
	put(t, c, "two", "same")
	put(t, c, "three", "other")
	put(t, c, "three", "same again")
	if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("digits"), Key: aws.String("one")}); err != nil {
		t.Fatal(err)
	}
	var blobs []string
	for _, f := range files(t, dir) {
		if !strings.Contains(f, "/blobs/") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != filepath.Base(f) {
			t.Errorf("%s holds %q", f, body)
		}
		blobs = append(blobs, string(body))
	}
	slices.Sort(blobs)
	if diff := cmp.Diff([]string{"same", "same again"}, blobs); diff != "" {
		t.Error(diff)
	}
}

func TestAChangedContentIsAnErrorAndNeverData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, c := serve(t, dir)
	put(t, c, "good", "untouched")
	put(t, c, "model", "weights")
	put(t, c, "lost", "gone")
	blob := func(body string) string {
		sum := sha256.Sum256([]byte(body))
		return filepath.Join(dir, "digits", "blobs", hex.EncodeToString(sum[:]))
	}
	if err := os.WriteFile(blob("weights"), []byte("weightz"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(blob("gone")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"model", "lost"} {
		if body, err := get(t.Context(), c, key); code(err) != "InternalError" || !strings.Contains(fmt.Sprint(err), "digits/"+key) {
			t.Errorf("%s: %q, %v", key, body, err)
		}
	}
	var out bytes.Buffer
	err := Verify(dir, &out)
	var damaged *DamagedError
	if !errors.As(err, &damaged) || damaged.Key != "lost" {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff("digits/good: OK\ndigits/lost: FAILED\ndigits/model: FAILED\n", out.String()); diff != "" {
		t.Error(diff)
	}
	put(t, c, "model", "weights") // the same content again mends it
	if body, err := get(t.Context(), c, "model"); err != nil || body != "weights" {
		t.Errorf("put again: %q, %v", body, err)
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	_, c := serve(t, t.TempDir())
	for _, key := range []string{"raw/1.jsonl", "raw/2.jsonl", "clean/train-0.jsonl", "clean/train-1.jsonl", "clean/held-out-0.jsonl", "models/current", "/rooted"} {
		put(t, c, key, key)
	}
	for _, tc := range []struct {
		prefix, delimiter string
		size              int32
		want              []string
	}{
		{want: []string{"/rooted", "clean/held-out-0.jsonl", "clean/train-0.jsonl", "clean/train-1.jsonl", "models/current", "raw/1.jsonl", "raw/2.jsonl"}},
		{prefix: "clean/train-", want: []string{"clean/train-0.jsonl", "clean/train-1.jsonl"}},
		{delimiter: "/", want: []string{"/", "clean/", "models/", "raw/"}},
		{prefix: "clean/", delimiter: "/", size: 2, want: []string{"clean/held-out-0.jsonl", "clean/train-0.jsonl", "clean/train-1.jsonl"}},
		{prefix: "none"},
	} {
		for _, size := range []int32{1, 2, 3, 1000} {
			pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String("digits"), Prefix: &tc.prefix, Delimiter: &tc.delimiter, MaxKeys: &size})
			var got []string
			for pages.HasMorePages() {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if n := len(page.Contents) + len(page.CommonPrefixes); n > int(size) {
					t.Errorf("a page of %d, asked for %d", n, size)
				}
				for _, o := range page.Contents {
					got = append(got, *o.Key)
				}
				for _, p := range page.CommonPrefixes {
					got = append(got, *p.Prefix)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%+v by %d: %s", tc, size, diff)
			}
		}
	}
}

func TestObjectsInPartsAndParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, c := serve(t, dir)
	bucket, key := aws.String("digits"), aws.String("checkpoint")
	upload, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	var want bytes.Buffer
	for n := range int32(3) {
		body := bytes.Repeat([]byte{byte('a' + n)}, 6<<20)
		want.Write(body)
		part, err := c.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: upload.UploadId, PartNumber: aws.Int32(n + 1), Body: bytes.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: part.ETag, PartNumber: aws.Int32(n + 1)})
	}
	complete := func(parts ...types.CompletedPart) error {
		_, err := c.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		return err
	}
	if got := code(complete(parts[0], types.CompletedPart{ETag: parts[0].ETag, PartNumber: aws.Int32(2)})); got != "InvalidPart" {
		t.Errorf("a part of another content: %s", got)
	}
	if got := code(complete(parts[1], parts[0])); got != "InvalidPartOrder" {
		t.Errorf("parts out of order: %s", got)
	}
	if err := complete(parts...); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t.Context(), c, "checkpoint"); err != nil || got != want.String() {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	slice, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=6291455-6291456")})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(slice.Body); err != nil || string(body) != "ab" {
		t.Errorf("a range across parts: %q, %v", body, err)
	}
	if left := files(t, filepath.Join(dir, incoming)); left != nil {
		t.Errorf("left over: %v", left)
	}
}

func TestWhoMayNot(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler(keys))
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		keys Keys
		want string
	}{
		"an unknown key": {Keys{"stranger", keys.Secret}, "InvalidAccessKeyId"},
		"a wrong secret": {Keys{keys.ID, "guess"}, "SignatureDoesNotMatch"},
	} {
		_, err := client(server.URL, c.keys).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		if got := code(err); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %s", response.Status)
	}
}

func TestABodyThatWasNotSignedIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.MakeBucket("digits"); err != nil {
		t.Fatal(err)
	}
	handler := s.Handler(keys)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut { // somebody on the way
			r.Body = io.NopCloser(strings.NewReader("tampered"))
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	// With no checksum of the client's, the signature alone protects the body.
	c := s3.New(s3.Options{
		BaseEndpoint: aws.String(server.URL), UsePathStyle: true, Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials:                credentials.NewStaticCredentialsProvider(keys.ID, keys.Secret, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
	_, err = c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("digits"), Key: aws.String("k"), Body: strings.NewReader("original")})
	if got := code(err); got != "BadDigest" {
		t.Errorf("got %v", err)
	}
	if left := files(t, dir); left != nil {
		t.Errorf("left over: %v", left)
	}
}

func TestWhatACrashLeavesIsSwept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, c := serve(t, dir)
	put(t, c, "kept", "kept")
	for _, path := range []string{"digits/blobs/" + strings.Repeat("0", 64), incoming + "/content-1"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil { // of a fresh ext4
		t.Fatal(err)
	}
	s, c := serve(t, dir)
	if got := files(t, dir); len(got) != 2 {
		t.Errorf("left over: %v", got)
	}
	if body, err := get(t.Context(), c, "kept"); err != nil || body != "kept" {
		t.Errorf("%q, %v", body, err)
	}
	w := httptest.NewRecorder()
	s.Health().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{"store_objects{bucket=\"digits\"} 1\n", "store_bytes{bucket=\"digits\"} 4\n"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in\n%s", want, w.Body)
		}
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	_, c := serve(t, t.TempDir())
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("second")}); err != nil {
		t.Fatal(err)
	}
	put(t, c, "k", "v")
	if _, err := c.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("second"), Key: aws.String("copy"), CopySource: aws.String("digits/k")}); err != nil {
		t.Fatal(err)
	}
	_, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("second")})
	if code(err) != "BucketNotEmpty" {
		t.Errorf("got %v", err)
	}
	if _, err := c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("second"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("copy")}, {Key: aws.String("never there")}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("second")}); err != nil {
		t.Fatal(err)
	}
	_, err = c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("second"), Key: aws.String("k"), Body: strings.NewReader("v")})
	if code(err) != "NoSuchBucket" {
		t.Errorf("got %v", err)
	}
	if _, err := get(t.Context(), c, "none"); code(err) != "NoSuchKey" {
		t.Errorf("got %v", err)
	}
}
