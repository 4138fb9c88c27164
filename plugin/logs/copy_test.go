package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func lineAt(rank, n int, text string) Line {
	return Line{Time: time.Unix(int64(n), int64(n)).UTC(), Run: "k7x2mq", Rank: rank, Pod: fmt.Sprint("train-", rank), PodUID: fmt.Sprint("uid-", rank), Container: "main", Text: text}
}

func add(t *testing.T, c *Copies, lines ...Line) {
	t.Helper()
	for _, l := range lines {
		if err := c.Add(l); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACopyIsReadOnWhereAnotherEnded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	one, two, three := lineAt(0, 1, "a"), lineAt(1, 2, "\xff no UTF-8, \t  blanks  "), lineAt(0, 3, "")
	first := OpenCopies(dir)
	add(t, first, one, two, two) // said twice
	second := OpenCopies(dir)
	add(t, second, one, two, three) // begins anew, as every reader does
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	got, err := OpenCopies(dir).Read("k7x2mq")
	if d := cmp.Diff([]Line{one, two, two, three}, got); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	runs, err := second.Runs()
	if d := cmp.Diff([]string{"k7x2mq"}, runs); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
}

func TestSeveralReadersAtOnceKeepEveryLineOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	var readers sync.WaitGroup
	for range 4 {
		c := OpenCopies(dir)
		readers.Go(func() {
			for n := range 500 {
				if err := c.Add(lineAt(n%2, n, fmt.Sprint("line ", n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Wait()
	got, err := OpenCopies(dir).Read("k7x2mq")
	if len(got) != 500 || err != nil {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	for n, l := range got {
		if l.Text != fmt.Sprint("line ", n) {
			t.Fatalf("line %d is %q", n, l.Text)
		}
	}
}

func TestALineThatACrashCutIsReadAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	add(t, OpenCopies(dir), lineAt(0, 1, "a"), lineAt(0, 2, "b"))
	path := filepath.Join(dir, "k7x2mq", "00000001.log")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(raw) {
		if err := os.WriteFile(path, raw[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		c := OpenCopies(dir)
		add(t, c, lineAt(0, 1, "a"), lineAt(0, 2, "b"))
		got, err := c.Read("k7x2mq")
		if d := cmp.Diff([]Line{lineAt(0, 1, "a"), lineAt(0, 2, "b")}, got); d != "" || err != nil {
			t.Fatalf("cut at %d: %s, %v", cut, d, err)
		}
		_ = c.Close()
		if err := os.Remove(filepath.Join(dir, "k7x2mq", "00000002.log")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheOldestLinesOfALongRunGo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	c := OpenCopies(dir)
	text := strings.Repeat("x", 60<<10)
	const lines = 400 // 24 MB
	for n := range lines {
		add(t, c, lineAt(0, n, text))
	}
	got, err := c.Read("k7x2mq")
	if err != nil || len(got) == 0 {
		t.Fatal(err)
	}
	folders, err := folders(dir)
	if err != nil || folders[0].size > runBytes || folders[0].size < runBytes/2 {
		t.Errorf("%+v, %v", folders, err)
	}
	for i, l := range got {
		if want := lines - len(got) + i; !l.Time.Equal(lineAt(0, want, "").Time) {
			t.Fatalf("line %d is of %v", want, l.Time)
		}
	}
}

func TestCopiesThatWereWrittenLongAgoGo(t *testing.T) {
	root := t.TempDir()
	for n, bundle := range []string{"a", "b", "a"} {
		l := lineAt(0, 1, strings.Repeat("x", 1000))
		l.Run = fmt.Sprint("run", n)
		c := OpenCopies(filepath.Join(root, bundle))
		add(t, c, l)
		path := filepath.Join(root, bundle, l.Run, "00000001.log")
		if err := os.Chtimes(path, time.Time{}, time.Unix(int64(n), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "not ours"), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prune(root, 2500); err != nil {
		t.Fatal(err)
	}
	a, _ := OpenCopies(filepath.Join(root, "a")).Runs()
	b, _ := OpenCopies(filepath.Join(root, "b")).Runs()
	if d := cmp.Diff([]string{"run2", "run1"}, append(a, b...)); d != "" {
		t.Error(d)
	}
}

func TestNoRunIsAPath(t *testing.T) {
	c := OpenCopies(filepath.Join(t.TempDir(), "bundle"))
	for _, id := range []string{"", ".", "..", "../x", "/etc", "a/b", "A b"} {
		l := lineAt(0, 1, "a")
		l.Run = id
		if c.Add(l) == nil {
			t.Errorf("%q was kept", id)
		}
		if got, err := c.Read(id); got != nil || err != nil {
			t.Errorf("%q: %v, %v", id, got, err)
		}
	}
}

func TestWhatCannotBeKeptIsSaidOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := OpenCopies(filepath.Join(file, "bundle"))
	if err := c.Add(lineAt(0, 1, "a")); err == nil || !strings.Contains(err.Error(), "run k7x2mq") {
		t.Errorf("err = %v", err)
	}
	if err := c.Add(lineAt(0, 2, "b")); err != nil {
		t.Errorf("and again: %v", err)
	}
}

func TestALineThatIsTooLongHidesNoOther(t *testing.T) {
	raw := append(bytes.Repeat([]byte("x"), 2*longest), '\n')
	raw = append(raw, encode(lineAt(0, 1, "after it"))...)
	var got []Line
	err := decode(bytes.NewReader(raw), "k7x2mq", func(l Line) { got = append(got, l) })
	if d := cmp.Diff([]Line{lineAt(0, 1, "after it")}, got); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
}

// Whatever is in a file, what is read of it can be written and is the same.
func FuzzCopy(f *testing.F) {
	f.Add(encode(lineAt(3, 7, "loss 0.5")))
	f.Add(encode(lineAt(-1, 7, "")))
	f.Add([]byte("2026-11-02T03:04:05Z uid 0 0 pod main cut"))
	f.Add([]byte("2026-11-02T03:04:05Z  0 0   \n\n\x00\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var lines []Line
		if err := decode(bytes.NewReader(raw), "k7x2mq", func(l Line) { lines = append(lines, l) }); err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		for _, l := range lines {
			again.Write(encode(l))
		}
		var got []Line
		if err := decode(&again, "k7x2mq", func(l Line) { got = append(got, l) }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(lines, got); d != "" {
			t.Error(d)
		}
	})
}
