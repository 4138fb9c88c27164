package setup

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// mainPackage is what the Go linker writes into this program, of any version.
const mainPackage = "github.com/kubectl-ai/kubectl-ai/cmd/kubectl-ai"

// Machine is what decides where links go.
type Machine struct {
	Program string   // absolute path of this program, as PATH has it: through krew's link, not where that leads
	File    string   // the plugin's file name without .exe: kubectl-ai
	Path    []string // the folders of PATH that exist, in order
	Home    string   // "" where there is none
	Windows bool     // programs end in .exe, and links are hard links or copies

	self os.FileInfo
}

// ThisMachine looks at the environment. argv0 is how the program was called,
// and file is the plugin's name in it.
func ThisMachine(argv0, file string) (Machine, error) {
	m := Machine{File: file, Windows: runtime.GOOS == "windows"}
	m.Home, _ = os.UserHomeDir()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() && filepath.IsAbs(dir) && !slices.Contains(m.Path, dir) {
			m.Path = append(m.Path, filepath.Clean(dir))
		}
	}
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	if m.self, err = os.Stat(self); err != nil {
		return m, err
	}
	m.Program = m.find(argv0, self)
	return m, nil
}

// find returns the path of the program that has the plugin's name: argv0, or
// what it leads to where it is a link for a verb.
func (m *Machine) find(argv0, self string) string {
	at := argv0
	if !filepath.IsAbs(at) {
		at, _ = exec.LookPath(argv0)
		at, _ = filepath.Abs(at)
	}
	for range 8 {
		if info, err := os.Stat(at); err != nil || !os.SameFile(info, m.self) {
			return self
		}
		if filepath.Base(at) == m.exe(m.File) {
			return at
		}
		target, err := os.Readlink(at)
		if err != nil {
			return self
		}
		at = absolute(at, target)
	}
	return self
}

// absolute is where a link at a path leads.
func absolute(link, target string) string {
	if filepath.IsAbs(target) {
		return filepath.Clean(target)
	}
	return filepath.Join(filepath.Dir(link), target)
}

func (m *Machine) exe(name string) string {
	if m.Windows {
		return name + ".exe"
	}
	return name
}

// Program is a file on PATH.
type Program struct {
	Path string
	Ours bool // it is this program, of whatever version
}

// Programs returns the programs of a name on PATH, the one that wins first.
func (m *Machine) Programs(name string) []Program {
	var found []Program
	for _, dir := range m.Path {
		path := filepath.Join(dir, m.exe(name))
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || !m.Windows && info.Mode()&0o111 == 0 {
			continue
		}
		found = append(found, Program{path, m.ours(path, info)})
	}
	return found
}

// Foreign returns the first program of the plugin's name that is another, if
// there is one.
func (m *Machine) Foreign() (path string, wins bool) {
	for i, p := range m.Programs(m.File) {
		if !p.Ours {
			return p.Path, i == 0
		}
	}
	return "", false
}

// ours tells this program, and other versions of it, from others.
func (m *Machine) ours(path string, info os.FileInfo) bool {
	if os.SameFile(info, m.self) {
		return true
	}
	build, err := buildinfo.ReadFile(path)
	return err == nil && build.Path == mainPackage
}

// onPath says whether kubectl looks into a folder.
func (m *Machine) onPath(dir string) bool { return slices.Contains(m.Path, filepath.Clean(dir)) }

// folder chooses where links go: beside the program, else the first folder of
// PATH that may be written to, else ~/.local/bin, which may have to be made.
// It returns a *NoFolderError.
func (m *Machine) folder() (string, error) {
	candidates := m.Path
	if beside := filepath.Dir(m.Program); m.onPath(beside) {
		candidates = append([]string{beside}, candidates...)
	}
	for _, dir := range candidates {
		if writable(dir) == nil {
			return dir, nil
		}
	}
	if m.Home == "" {
		return "", &NoFolderError{Program: m.Program, Err: os.ErrNotExist}
	}
	local := filepath.Join(m.Home, ".local", "bin")
	if err := CanMake(local); err != nil {
		return "", &NoFolderError{Program: m.Program, Folder: local, Err: err}
	}
	return local, nil
}

// CanMake says why files cannot be made in a folder, which may have to be made
// first.
func CanMake(dir string) error {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return &os.PathError{Op: "use", Path: dir, Err: errNotAFolder}
		case err == nil:
			return writable(dir)
		case !os.IsNotExist(err) || filepath.Dir(dir) == dir:
			return err
		}
		dir = filepath.Dir(dir)
	}
}

// verbOf is the part of a file's name that stands for a verb.
func verbOf(verb string) string { return strings.ReplaceAll(verb, "-", "_") }

// first is what there is at the first place on PATH that has a name.
func (m *Machine) first(name string) Link {
	for _, dir := range m.Path {
		if l := m.look(filepath.Join(dir, m.exe(name))); l.State != Missing {
			return l
		}
	}
	return Link{State: Missing}
}

// Completion is the link that kubectl asks for completion, Missing when there
// is none.
func (m *Machine) Completion() Link { return m.first(m.completion()) }

// Lacking returns the verbs that have no link of their own on PATH.
func (m *Machine) Lacking(verbs []string) []string {
	var lacking []string
	for _, verb := range verbs {
		if m.first(m.File+"-"+verbOf(verb)).State != Present {
			lacking = append(lacking, verb)
		}
	}
	return lacking
}
