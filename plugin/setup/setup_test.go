package setup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// place is a machine with two folders on PATH, the program in the second.
func place(t *testing.T, windows bool) Machine {
	t.Helper()
	dir := t.TempDir()
	m := Machine{File: "kubectl-ai", Path: []string{filepath.Join(dir, "first"), filepath.Join(dir, "bin")}, Home: filepath.Join(dir, "home"), Windows: windows}
	for _, folder := range m.Path {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.Program = filepath.Join(dir, "bin", m.exe("kubectl-ai"))
	file(t, m.Program)
	var err error
	if m.self, err = os.Stat(m.Program); err != nil {
		t.Fatal(err)
	}
	return m
}

func file(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("#!"+path), 0o755)); err != nil {
		t.Fatal(err)
	}
}

// list is what a folder holds, links with where they lead.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if target, err := os.Readlink(filepath.Join(dir, name)); err == nil {
			name += " -> " + target
		}
		out = append(out, name)
	}
	return out
}

func write(t *testing.T, m Machine, dir string, verbs ...string) []Link {
	t.Helper()
	p, err := m.Plan(dir, verbs)
	if err != nil {
		t.Fatal(err)
	}
	written, err := p.Write()
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func TestLinksGoBesideTheProgram(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	write(t, m, "", "run", "why-ignored")
	want := []string{
		"kubectl-ai", "kubectl-ai-run -> kubectl-ai", "kubectl-ai-why_ignored -> kubectl-ai",
		"kubectl_complete-ai -> kubectl-ai", "kubectl_complete-ai-run -> kubectl-ai", "kubectl_complete-ai-why_ignored -> kubectl-ai",
	}
	if diff := cmp.Diff(want, list(t, m.Path[1])); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if again := write(t, m, "", "run"); len(again) != 0 {
		t.Errorf("written again: %v", again)
	}
	if err := Remove(m.Own("")); err != nil {
		t.Fatal(err)
	}
	if left := list(t, m.Path[1]); !slices.Equal(left, []string{"kubectl-ai"}) {
		t.Errorf("left: %v", left)
	}
}

// Where the program's own folder is not on PATH, the first one of PATH that
// serves gets links that lead to it wherever they are.
func TestLinksGoIntoAFolderOfPath(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	m.Path = m.Path[:1]
	write(t, m, "")
	if got, want := list(t, m.Path[0]), "kubectl_complete-ai -> "+m.Program; !slices.Equal(got, []string{want}) {
		t.Errorf("%v", got)
	}
}

func TestWithoutAFolderOfPathTheyGoIntoTheHome(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	m.Path = nil
	p, err := m.Plan("", nil)
	if err != nil || p.OnPath || p.Folder != filepath.Join(m.Home, ".local", "bin") {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := os.Stat(m.Home); !os.IsNotExist(err) {
		t.Error("a plan made a folder")
	}
	write(t, m, "")
	if own := m.Own(""); len(own) != 1 || own[0].State != Present {
		t.Errorf("%v", own)
	}
}

// A file stands where the home's folder should be; no mode helps root then.
func TestAHomeThatCannotBeWrittenTo(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	m.Path = nil
	file(t, m.Home)
	var none *NoFolderError
	if _, err := m.Plan("", nil); !errors.As(err, &none) || none.Program != m.Program {
		t.Errorf("%v", err)
	}
	m.Home = "/proc/1/nowhere"
	if _, err := m.Plan("", nil); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
	if _, err := m.Plan(filepath.Join(m.Program, "sub"), nil); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
}

// A file of others stops everything before the first link.
func TestAFileOfOthersStays(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	script := filepath.Join(m.Path[1], "kubectl_complete-ai-run")
	file(t, script)
	dangling := filepath.Join(m.Path[1], "kubectl-ai-dev")
	if err := os.Symlink("/opt/other/program", dangling); err != nil {
		t.Fatal(err)
	}
	var taken *TakenError
	if _, err := m.Plan("", []string{"dev", "run"}); !errors.As(err, &taken) || !slices.Equal(taken.Paths, []string{dangling, script}) {
		t.Errorf("%v", err)
	}
	if own := m.Own(""); len(own) != 0 {
		t.Errorf("called its own: %v", own)
	}
	if got := list(t, m.Path[1]); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// The completion of the other plugin stays where the two live together.
func TestCoexistLeavesTheOthersCompletion(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	file(t, filepath.Join(m.Path[1], "kubectl_complete-ai"))
	var taken *TakenError
	if _, err := m.Plan("", nil); !errors.As(err, &taken) {
		t.Errorf("%v", err)
	}
	if written := write(t, m, "", "run"); len(written) != 2 {
		t.Errorf("%v", written)
	}
}

// krew removes the folder of the version before: a link into it is led to the
// new one.
func TestALinkToWhatIsGoneIsMadeAnew(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	stale := filepath.Join(m.Path[1], "kubectl_complete-ai")
	if err := os.Symlink("/nowhere/store/ai/v0.1.0/kubectl-ai", stale); err != nil {
		t.Fatal(err)
	}
	p, err := m.Plan("", nil)
	if err != nil || p.Links[0].State != Stale {
		t.Fatalf("%+v, %v", p, err)
	}
	write(t, m, "")
	if target, _ := os.Readlink(stale); target != "kubectl-ai" {
		t.Errorf("leads to %s", target)
	}
}

func TestAForeignPluginFirstOnPath(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	other := filepath.Join(m.Path[0], "kubectl-ai")
	file(t, other)
	var foreign *ForeignError
	if _, err := m.Plan("", nil); !errors.As(err, &foreign) || foreign.Path != other || !strings.Contains(err.Error(), "kubectl ai runs that one") {
		t.Errorf("%v", err)
	}
	if written := write(t, m, "", "run"); len(written) != 3 {
		t.Errorf("%v", written)
	}
	m.Path[0], m.Path[1] = m.Path[1], m.Path[0]
	if path, wins := m.Foreign(); path != other || wins {
		t.Errorf("%s wins: %v", path, wins)
	}
}

// On Windows links are hard links, and the copy of another volume's program is
// no file of others.
func TestLinksOnWindows(t *testing.T) {
	t.Parallel()
	m := place(t, true)
	write(t, m, "", "run")
	want := []string{"kubectl-ai-run.exe", "kubectl-ai.exe", "kubectl_complete-ai-run.exe", "kubectl_complete-ai.exe"}
	if diff := cmp.Diff(want, list(t, m.Path[1])); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if own := m.Own(""); len(own) != 3 {
		t.Errorf("%v", own)
	}
	if err := Remove(m.Own("")); err != nil || !slices.Equal(list(t, m.Path[1]), []string{"kubectl-ai.exe"}) {
		t.Errorf("%v, %v", err, list(t, m.Path[1]))
	}
}

func TestANameThatKubectlDoesNotLookFor(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	m.File = "kai"
	var not *NotAPluginError
	if _, err := m.Plan("", nil); !errors.As(err, &not) {
		t.Errorf("%v", err)
	}
}

// What was written before the one that failed goes again.
func TestHalfOfTheLinksIsNone(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	p, err := m.Plan("", []string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	file(t, p.Links[2].Path) // by somebody else, in between
	if written, err := p.Write(); err == nil || len(written) != 0 {
		t.Errorf("%v, %v", written, err)
	}
	if got := list(t, p.Folder); !slices.Equal(got, []string{"kubectl-ai", filepath.Base(p.Links[2].Path)}) {
		t.Errorf("%v", got)
	}
}

func TestWhatIsMissingOrStaleIsMended(t *testing.T) {
	t.Parallel()
	m := place(t, false)
	if m.Completion().State != Missing {
		t.Errorf("%+v", m.Completion())
	}
	if written, err := m.Mend([]string{"run"}); err != nil || len(written) != 1 || m.Completion().State != Present {
		t.Errorf("%v, %v", written, err)
	}
	if written, err := m.Mend([]string{"run"}); err != nil || len(written) != 0 {
		t.Errorf("mended twice: %v, %v", written, err)
	}
	// A verb of before, and one that came since.
	if err := os.Symlink("/nowhere/kubectl-ai", filepath.Join(m.Path[1], "kubectl-ai-old")); err != nil {
		t.Fatal(err)
	}
	if lacking := m.Lacking([]string{"run", "dev"}); !slices.Equal(lacking, []string{"run", "dev"}) {
		t.Errorf("%v", lacking)
	}
	if written, err := m.Mend([]string{"run", "dev"}); err != nil || len(written) != 4 || len(m.Lacking([]string{"run", "dev"})) != 0 {
		t.Errorf("%v, %v", written, err)
	}
	if got := list(t, m.Path[1]); len(got) != 6 || slices.Contains(got, "kubectl-ai-old -> /nowhere/kubectl-ai") {
		t.Errorf("%v", got)
	}
	// Another plugin first on PATH is not answered with a link for completion.
	m = place(t, false)
	file(t, filepath.Join(m.Path[0], "kubectl-ai"))
	var foreign *ForeignError
	if _, err := m.Mend([]string{"run"}); !errors.As(err, &foreign) {
		t.Errorf("%v", err)
	}
}
