package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
