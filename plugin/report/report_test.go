package report

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

func says(name, content string) Part {
	return Part{name, func(_ context.Context, files *Files) error {
		files.Add(name+".txt", content)
		return nil
	}}
}

// unpack returns the files of an archive by their names in its folder.
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		out[name] = string(content)
	}
}

func TestWhatFailsIsALineAndHoldsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		r, err := Collect(t.Context(), []Part{
			says("a", "one"),
			{"refused", func(_ context.Context, files *Files) error {
				files.Add("half.txt", "half")
				return errors.Join(errors.New("may not"), errors.Join(errors.New("nor this")))
			}},
			{"slow", func(ctx context.Context, _ *Files) error { <-ctx.Done(); return ctx.Err() }},
			{"stuck", func(_ context.Context, files *Files) error {
				<-stuck
				files.Add("late.txt", "late")
				return nil
			}},
			says("z", "last"),
		}, 20*time.Second)
		close(stuck)
		synctest.Wait()
		if err != nil {
			t.Fatal(err)
		}
		want := &Report{
			Files: []File{{Name: "a.txt", content: "one"}, {Name: "half.txt", content: "half"}, {Name: "z.txt", content: "last"}},
			Missing: []Missing{
				{"refused", "may not"},
				{"refused", "nor this"},
				{"slow", "no answer within 20s (context deadline exceeded)"},
				{"stuck", "no answer within 20s (context deadline exceeded)"},
			},
		}
		if diff := cmp.Diff(want, r, cmp.AllowUnexported(File{})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestTheEndOfTheContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("Ctrl-C")
	_, err := Collect(ctx, []Part{{"p", func(ctx context.Context, _ *Files) error {
		cancel(cause)
		<-ctx.Done()
		return ctx.Err()
	}}}, time.Minute)
	if !errors.Is(err, cause) {
		t.Error(err)
	}
}

func TestReportsAreBounded(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	many := func(name string) Part {
		return Part{name, func(_ context.Context, files *Files) error {
			for range 10 {
				files.Add(name+"/file", strings.Repeat(line, 20000))
			}
			return files.Tail(name+"/log", strings.NewReader(strings.Repeat("1234567\n", TailLimit)+"the end\n"))
		}}
	}
	r, err := Collect(t.Context(), []Part{many("a"), many("b"), many("c"), many("d"), says("e", "small")}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, f := range r.Files {
		all += len(f.content)
		if f.Name != "e.txt" && (!f.Cut || !strings.HasSuffix(f.content, "\n") || len(f.content) > FileLimit) {
			t.Errorf("%s: %d bytes, cut %v", f.Name, len(f.content), f.Cut)
		}
		if strings.HasSuffix(f.Name, "/log") && (!strings.HasPrefix(f.content, "1234567\n") || !strings.HasSuffix(f.content, "\nthe end\n")) {
			t.Errorf("%s is not the end, in whole lines", f.Name)
		}
	}
	if all > Limit || all < Limit*9/10 || len(r.Missing) != 4 || !strings.Contains(r.Missing[0].Reason, "5 files were left out") {
		t.Errorf("%d bytes; %+v", all, r.Missing)
	}
	if last := r.Files[len(r.Files)-1]; last.Name != "e.txt" {
		t.Errorf("what is small does not fit any more: the last one is %s", last.Name)
	}
}

func TestWhatOnePartFindsIsHiddenInAll(t *testing.T) {
	r, err := Collect(t.Context(), []Part{
		says("log", "connected as s3cretValue9"), says("pods", "DB_PASSWORD: s3cretValue9"),
		{"broken", func(context.Context, *Files) error { return errors.New("get https://me:s3cretValue9@h/: refused") }},
	}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	m := redact.New()
	r.Redact(m)
	manifest := Manifest{APIVersion: APIVersion, Kind: Kind, Version: "v1", Created: time.Unix(1793620800, 0), Files: r.Files, Missing: r.Missing, Masked: m.Counts()}
	var archive bytes.Buffer
	if err := r.Write(&archive, manifest); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, archive.Bytes())
	for name, content := range files {
		if strings.Contains(content, "s3cret") {
			t.Errorf("%s: %s", name, content)
		}
	}
	if readme := files["README.txt"]; !strings.Contains(readme, "log.txt") || !strings.Contains(readme, "broken: get https://me:<masked:") {
		t.Errorf("%s", readme)
	}
	var read Manifest
	if err := json.Unmarshal([]byte(files["manifest.json"]), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(manifest, read, cmpopts.IgnoreUnexported(File{}), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The fields of -o json are a contract.
func TestManifestJSON(t *testing.T) {
	got, err := json.Marshal(Manifest{
		APIVersion: APIVersion, Kind: Kind, Created: time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC), Version: "v1", File: "r.tar.gz",
		Context: "kind-ai", Namespace: "ns", Run: "k7x2mq",
		Files:   []File{{Name: "logs/p/main.log", Bytes: 3, Cut: true}, {Name: "doctor.txt"}},
		Missing: []Missing{{"nodes", "may not"}}, Masked: map[string]int{"known": 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"apiVersion":"kubectl-ai.dev/v1alpha1","kind":"SupportReport","created":"2026-11-02T03:04:05Z","version":"v1","file":"r.tar.gz",` +
		`"context":"kind-ai","namespace":"ns","run":"k7x2mq","files":[{"name":"logs/p/main.log","bytes":3,"cut":true},{"name":"doctor.txt","bytes":0}],` +
		`"missing":[{"part":"nodes","reason":"may not"}],"masked":{"known":2}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAReportIsThereWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.tar.gz")
	broken := errors.New("no space")
	if err := Save(file, func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	write := func(w io.Writer) error { _, err := io.WriteString(w, "whole"); return err }
	if err := Save(file, write); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	var exists *ExistsError
	if err := Save(file, func(io.Writer) error { t.Error("written"); return nil }); !errors.As(err, &exists) {
		t.Error(err)
	}
	// Somebody else may be quicker.
	other := filepath.Join(dir, "other")
	err := Save(other, func(w io.Writer) error { return os.WriteFile(other, []byte("theirs"), 0o600) })
	if content, _ := os.ReadFile(other); !errors.As(err, &exists) || string(content) != "theirs" {
		t.Errorf("%v %s", err, content)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}
