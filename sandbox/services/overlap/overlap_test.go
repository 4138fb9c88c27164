package overlap_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/services/overlap"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/store"
)

// hashes returns the lines of samples from first up to but without end.
func hashes(first, end int) string {
	var b strings.Builder
	for i := first; i < end; i++ {
		fmt.Fprintf(&b, "%x\n", sha256.Sum256(fmt.Append(nil, i)))
	}
	return b.String()
}

func folder(t *testing.T, files map[string]string) overlap.Folder {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return overlap.Folder(dir)
}

// bucket holds the same files, behind the sandbox's own storage.
func bucket(t *testing.T, files map[string]string) overlap.Bucket {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.MakeBucket("data"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler(store.Keys{ID: "sandbox", Secret: "sandbox-secret"}))
	t.Cleanup(server.Close)
	client := s3.New(s3.Options{BaseEndpoint: &server.URL, UsePathStyle: true, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox-secret", "")})
	for name, content := range files {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("data"), Key: &name, Body: strings.NewReader(content)}); err != nil {
			t.Fatal(err)
		}
	}
	return overlap.NewBucket(server.URL, "data", "", "sandbox", "sandbox-secret")
}

func TestCheck(t *testing.T) {
	one := strings.TrimSpace(hashes(7, 8))
	for _, test := range []struct {
		name  string
		files map[string]string
		want  overlap.Report
		err   any // nil: none
	}{
		{
			"splits apart, in shards",
			map[string]string{"manifest/train-0.sha256": hashes(0, 50), "manifest/train-1.sha256": hashes(50, 90), "manifest/held-out-0.sha256": hashes(100, 110), "clean/train-0.jsonl": "{}\n"},
			overlap.Report{Samples: map[string]int{"train": 90, "held-out": 10}},
			nil,
		},
		{
			"one sample in both",
			map[string]string{"manifest/train-0.sha256": hashes(0, 10), "manifest/train-1.sha256": hashes(20, 30), "manifest/held-out-3.sha256": hashes(40, 50) + one + "\n"},
			overlap.Report{Samples: map[string]int{"train": 19, "held-out": 11}, Shared: 1, In: []string{"held-out", "train"}, First: []string{one}},
			new(*overlap.SharedError),
		},
		{
			"a sample twice in one split is no overlap",
			map[string]string{"manifest/train-0.sha256": hashes(0, 10), "manifest/train-1.sha256": hashes(5, 15), "manifest/held-out-0.sha256": ""},
			overlap.Report{Samples: map[string]int{"train": 15, "held-out": 0}},
			nil,
		},
		{
			"capitals and spaces",
			map[string]string{"manifest/train-0.sha256": "  " + strings.ToUpper(one) + "\r\n\n", "manifest/held-out-0.sha256": one},
			overlap.Report{Samples: map[string]int{"train": 0, "held-out": 1}, Shared: 1, In: []string{"held-out", "train"}, First: []string{one}},
			new(*overlap.SharedError),
		},
		{"a line that is no hash", map[string]string{"manifest/train-0.sha256": hashes(0, 3) + "abc\n", "manifest/held-out-0.sha256": ""}, overlap.Report{}, new(*overlap.ManifestError)},
		{"one split", map[string]string{"manifest/train-0.sha256": hashes(0, 3)}, overlap.Report{Samples: map[string]int{"train": 3}}, overlap.ErrNothingToCompare},
		{"nothing", map[string]string{"manifest/README": "", "manifest/train.sha256": "", "x": ""}, overlap.Report{Samples: map[string]int{}}, overlap.ErrNothingToCompare},
	} {
		for kind, source := range map[string]overlap.Source{"folder": folder(t, test.files), "bucket": bucket(t, test.files)} {
			t.Run(test.name+", in a "+kind, func(t *testing.T) {
				got, err := overlap.Check(t.Context(), source)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				switch want := test.err.(type) {
				case nil:
					if err != nil {
						t.Error(err)
					}
				case error:
					if !errors.Is(err, want) {
						t.Errorf("got %v", err)
					}
				default:
					if !errors.As(err, want) {
						t.Errorf("got %v", err)
					}
				}
			})
		}
	}
}

func TestManyAreSharedAndFewAreNamed(t *testing.T) {
	report, err := overlap.Check(t.Context(), folder(t, map[string]string{"manifest/train-0.sha256": hashes(0, 1000), "manifest/held-out-0.sha256": hashes(300, 400)}))
	var shared *overlap.SharedError
	if !errors.As(err, &shared) || report.Shared != 100 || len(report.First) != 5 || !slices.IsSorted(report.First) {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestNoBucketIsAnError(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := overlap.Check(ctx, overlap.NewBucket(server.URL, "data", "", "sandbox", "sandbox-secret")); err == nil {
		t.Error("a bucket that nobody serves was read")
	}
}
