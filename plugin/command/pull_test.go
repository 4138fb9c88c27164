package command

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

func TestPullDoesNotCopyIntoTheCode(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".kubectl-ai-ignore"), []byte("/pulled/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code := project.Code{Path: dir}
	for _, c := range []struct {
		name, to string
		force    bool
		refused  bool
	}{
		{"elsewhere", t.TempDir(), false, false},
		{"the code itself", dir, false, true},
		{"a folder in it", filepath.Join(dir, "out"), false, true},
		{"one that is ignored", filepath.Join(dir, "pulled", "rank-0"), false, false},
		{"by force", filepath.Join(dir, "out"), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &PullOptions{To: c.to, Force: c.force}
			err := o.outside(t.Context(), code)
			var usage *explain.UsageError
			if c.refused != errors.As(err, &usage) || (!c.refused && err != nil) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestPathsToPullBeginAtTheTopOfTheCode(t *testing.T) {
	p := chosen([]string{"./out/", "*.pt", "/log"})
	for path, want := range map[string]bool{"out/a/b": true, "a.pt": true, "log": true, "pkg/log": false, "pkg/out/a": false, "pkg/a.pt": false} {
		if p.Match(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	if o := (&PullOptions{Rank: 3}); o.Validate() != nil || !strings.HasSuffix(o.To, "rank-3") {
		t.Errorf("to = %s", o.To)
	}
}

// ended is a stream that says something, and then why it has ended.
type ended struct {
	io.Reader
	closed *int
}

func (ended) Write(p []byte) (int, error) { return len(p), nil }
func (e ended) Close() error              { *e.closed++; return nil }

type permanent struct{}

func (permanent) Error() string   { return "may not exec" }
func (permanent) Permanent() bool { return true }

func TestAnAgentThatDoesNotListenYetIsDialledAgain(t *testing.T) {
	t.Parallel()
	restarting := errors.New("unable to upgrade connection: container not found")
	for _, c := range []struct {
		name  string
		first error // what dials before the third come to
		then  error
		dials int
		says  string
	}{
		{"it restarts", restarting, io.EOF, 3, "magic\n"},
		{"it does not come", restarting, restarting, 10, ""},
		{"it hangs up", io.EOF, io.EOF, 3, "magic\n"},
		{"nobody may", permanent{}, nil, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dials, closed := 0, 0
				s, err := speaking(t.Context(), func() (io.ReadWriteCloser, error) {
					if dials++; dials < 3 {
						return ended{iotest.ErrReader(c.first), &closed}, nil
					}
					return ended{io.MultiReader(strings.NewReader(c.says), iotest.ErrReader(c.then)), &closed}, nil
				})
				if dials != c.dials {
					t.Errorf("%d dials, %v", dials, err)
				}
				if c.says == "" {
					if !errors.Is(err, c.first) || closed != dials {
						t.Errorf("%v, %d of %d closed", err, closed, dials)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(s); string(got) != c.says || err != nil {
					t.Errorf("it says %q, %v", got, err)
				}
				if closed != dials-1 {
					t.Errorf("%d of %d closed", closed, dials)
				}
			})
		})
	}
}
