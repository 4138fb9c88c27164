package python

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// newTestChecker returns a checker that is ready, and has a minute for each
// check: what is measured here is no time.
func newTestChecker(t testing.TB, argv ...string) (*Checker, *journal) {
	t.Helper()
	log := &journal{}
	c := NewChecker(supervise.Spec{Argv: argv, Dir: "/", Env: environment()}, log)
	c.mu.Lock()
	c.wait = 60e9
	c.mu.Unlock()
	t.Cleanup(c.Close)
	c.started(t)
	return c, log
}

// started waits until the process is ready, or can never be.
func (c *Checker) started(t testing.TB) {
	t.Helper()
	until(t, "the checker has started", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.starting == nil
	})
}

// errorsOf takes joined errors apart.
func errorsOf(t testing.TB, err error) []SyntaxError {
	t.Helper()
	var all []SyntaxError
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, err := range list {
		var e *SyntaxError
		if err == nil {
			continue
		}
		if !errors.As(err, &e) {
			t.Fatalf("err = %v, want *SyntaxError", err)
		}
		all = append(all, *e)
	}
	return all
}

func TestWhatDoesNotCompileIsNamedWithItsLine(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	c, log := newTestChecker(t, interpreter, "train.py")
	huge := strings.Repeat("x = = 1\n", 1<<18)
	files := map[string]string{
		"good.py": "x = 1\n", "broken.py": "x = 1\n\ndef f(:\n", "pkg/λ\n.py": "y = = 1\n",
		"return.py": "\nreturn 1\n", "latin.py": "# coding: latin-1\nx = '\xe9'\n", "bytes.py": "x = 1\ny = '\xe9'\n",
		"encoding.py": "# coding: nope\n", "bom.py": "\ufeffx = 1\n", "zero.py": "x = 1\n\x00\n", "warns.py": "x = '\\d' is 1\n",
		"huge.py": huge, "deep.py": strings.Repeat("[", 5000), "empty.py": "", "notes.txt": "x = = 1", "none.pyi": "x = = 1",
		"folder.py/x": "",
	}
	dir := tree(t, files)
	if err := os.Symlink("broken.py", filepath.Join(dir, "link.py")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.py"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		line int // 0: no error
	}{
		{"good.py", 0},
		{"broken.py", 3},
		{"pkg/λ\n.py", 1},
		{"return.py", 2},
		{"latin.py", 0},
		{"bytes.py", 2},
		{"encoding.py", 1},
		{"bom.py", 0},
		{"warns.py", 0},
		{"huge.py", 0},
		{"empty.py", 0},
		{"notes.txt", 0},
		{"none.pyi", 0},
		{"folder.py", 0},
		{"link.py", 0},
		{"fifo.py", 0},
		{"deleted.py", 0},
	} {
		found := errorsOf(t, c.Check(t.Context(), Change{Dir: dir, Paths: []string{tc.path}}))
		switch {
		case tc.line == 0 && len(found) != 0:
			t.Errorf("%q: %v, want no error", tc.path, found)
		case tc.line != 0 && (len(found) != 1 || found[0].Path != tc.path || found[0].Line != tc.line || found[0].Message == ""):
			t.Errorf("%q: %v, want one in line %d", tc.path, found, tc.line)
		}
	}
	// Versions say differently what is wrong with these.
	for _, path := range []string{"zero.py", "deep.py"} {
		if err := c.Check(t.Context(), Change{Dir: dir, Paths: []string{path}}); err != nil {
			_ = errorsOf(t, err)
		}
	}
	err := c.Check(t.Context(), Change{Dir: dir, Paths: []string{"broken.py"}})
	if err == nil || err.Error() != "broken.py:3: invalid syntax" {
		t.Errorf("err = %v, want broken.py:3: invalid syntax", err)
	}
	if log.String() != "" {
		t.Errorf("the log says %s", log)
	}
}

func TestManyFilesAtOnce(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	c, _ := newTestChecker(t, interpreter, "train.py")
	files := map[string]string{}
	var paths []string
	var want []SyntaxError
	for i := range 200 {
		name := fmt.Sprintf("m%03d.py", i)
		files[name] = strings.Repeat(fmt.Sprintf("def f%d(a, b):\n    return [a, b, {a: b}]\n", i), 20)
		paths = append(paths, name)
		if i%50 == 7 {
			files[name] += "x = = 1\n"
			want = append(want, SyntaxError{Path: name, Line: 41, Message: "invalid syntax"})
		}
	}
	got := errorsOf(t, c.Check(t.Context(), Change{Dir: tree(t, files), Paths: paths}))
	for i := range got {
		got[i].Column = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWasBrokenBeforeIsNotWhatRuns(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	c, _ := newTestChecker(t, interpreter, "train.py")
	before := tree(t, map[string]string{"template.py": "{% x %}\n", "good.py": "x = 1\n"})
	after := tree(t, map[string]string{"template.py": "{% y %}\n", "good.py": "x = = 1\n", "new.py": "x = = 1\n"})
	got := errorsOf(t, c.Check(t.Context(), Change{Before: before, Dir: after, Paths: []string{"good.py", "new.py", "template.py"}}))
	if len(got) != 2 || got[0].Path != "good.py" || got[1].Path != "new.py" {
		t.Errorf("found %v, want good.py and new.py", got)
	}
}

func TestACheckerThatDiesIsReplaced(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	c, log := newTestChecker(t, interpreter, "train.py")
	broken := Change{Dir: tree(t, map[string]string{"a.py": "x = = 1\n"}), Paths: []string{"a.py"}}
	for range 3 {
		if err := c.Check(t.Context(), broken); err == nil {
			t.Fatal("no error where the checker lives")
		}
		died := c.resident.process
		if err := syscall.Kill(died.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-died.Done
		if err := c.Check(t.Context(), broken); err != nil {
			t.Fatalf("err = %v: a dead checker refuses", err)
		}
		c.started(t)
	}
	if log.count("killed") != 1 || log.count("") != 1 {
		t.Errorf("the log says, and should once:\n%s", log)
	}
	if err := c.Check(t.Context(), broken); err == nil {
		t.Error("no checker took the place of the dead one")
	}
}

func TestACheckerThatHangsHoldsNothing(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	c, log := newTestChecker(t, interpreter, "train.py")
	broken := Change{Dir: tree(t, map[string]string{"a.py": "x = = 1\n"}), Paths: []string{"a.py"}}
	stopped := c.resident.process
	if err := syscall.Kill(stopped.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.wait = 1e6
	if err := c.Check(t.Context(), broken); err != nil {
		t.Errorf("err = %v", err)
	}
	<-stopped.Done
	c.started(t)
	c.wait = 60e9
	stopped = c.resident.process
	if err := syscall.Kill(stopped.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Check(ctx, broken); err != nil {
		t.Errorf("err = %v of a check that was cancelled", err)
	}
	c.started(t)
	if err := c.Check(t.Context(), broken); err == nil {
		t.Error("no checker took the place of the one that hung")
	}
	if log.count("takes more than") == 0 {
		t.Errorf("the log says:\n%s", log)
	}
}

func TestWhereNothingCanBeCheckedTheLogSaysItOnce(t *testing.T) {
	dir := tree(t, map[string]string{"a.py": "x = = 1\n", "bin/python3": "#!/bin/sh\nexit 9\n", "old/python3": "#!/bin/sh\necho no it is older than Python 3.7\n"})
	for _, c := range []struct{ name, argv, want string }{
		{"no Python", "sh a.sh", "not Python"},
		{"no interpreter", dir + "/none/python3 a.py", "no such file"},
		{"fails", dir + "/bin/python3 a.py", "code 9"},
		{"too old", dir + "/old/python3 a.py", "older than Python 3.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checker, log := newTestChecker(t, strings.Fields(c.argv)...)
			for range 2 {
				if err := checker.Check(t.Context(), Change{Dir: dir, Paths: []string{"notes.txt"}}); err != nil {
					t.Error(err)
				}
			}
			if log.String() != "" {
				t.Errorf("the log speaks where there is no Python to check: %s", log)
			}
			for range 3 {
				if err := checker.Check(t.Context(), Change{Dir: dir, Paths: []string{"a.py"}}); err != nil {
					t.Error(err)
				}
			}
			if log.count(c.want) != 1 || log.count("") != 1 {
				t.Errorf("the log says:\n%s\nwant once %q", log, c.want)
			}
		})
	}
}

func TestACommandThatComesWithTheCodeIsCheckedFromThenOn(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"a.py": "x = = 1\n"})
	broken := Change{Dir: dir, Paths: []string{"a.py"}}
	c, log := newTestChecker(t, dir+"/train")
	write(t, dir, map[string]string{"train": "#!" + interpreter + "\n"})
	if err := c.Check(t.Context(), broken); err != nil {
		t.Error(err)
	}
	c.started(t)
	if err := c.Check(t.Context(), broken); err == nil || log.count("") != 1 {
		t.Errorf("err = %v, and the log says:\n%s", err, log)
	}
}

func TestACheckerWritesNowhere(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"a.py": "import b\n", "b.py": "x = = 1\n"})
	c, _ := newTestChecker(t, interpreter, "a.py")
	_ = c.Check(t.Context(), Change{Dir: dir, Paths: []string{"a.py", "b.py"}})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the code is now %v, %v", entries, err)
	}
	rss, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.resident.process.PID))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rss)) {
		if strings.HasPrefix(line, "VmRSS") {
			t.Log(strings.TrimSpace(line))
		}
	}
}
