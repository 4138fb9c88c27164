package setup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// State is what there is in a link's place.
type State string

// States of a link.
const (
	Missing State = "missing" // nothing
	Present State = "present" // this program
	Stale   State = "stale"   // ours, and it leads to nothing or to another version
	Taken   State = "taken"   // a file that is not ours
)

// Link is a name by which kubectl finds this program.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"` // as it is written
	State  State  `json:"state"`
}

// Plan is what Write will do.
type Plan struct {
	Folder string
	OnPath bool // kubectl looks into Folder
	Links  []Link

	machine *Machine
}

// Plan says which links there are to be: that for completion, and with verbs
// those for each of them too. dir is their folder; empty: the first that
// serves. It returns a *NotAPluginError, *ForeignError, *NoFolderError or
// *TakenError.
func (m *Machine) Plan(dir string, verbs []string) (p Plan, err error) {
	if !strings.HasPrefix(m.File, "kubectl-") {
		return p, &NotAPluginError{m.Program}
	}
	if path, wins := m.Foreign(); wins && len(verbs) == 0 {
		return p, &ForeignError{path, m.File}
	}
	if dir == "" {
		if dir, err = m.folder(); err != nil {
			return p, err
		}
	} else if dir, err = filepath.Abs(dir); err != nil {
		return p, err
	} else if err := CanMake(dir); err != nil {
		return p, &NoFolderError{m.Program, dir, err, true}
	}
	p = Plan{Folder: dir, OnPath: m.onPath(dir), machine: m}
	var taken []string
	for _, name := range m.names(verbs) {
		l := m.look(filepath.Join(dir, m.exe(name)))
		// The other plugin may have a completion of its own.
		if l.State == Taken && len(verbs) > 0 && name == m.completion() {
			continue
		}
		if l.State == Taken {
			taken = append(taken, l.Path)
		}
		p.Links = append(p.Links, l)
	}
	if len(taken) > 0 {
		return p, &TakenError{taken}
	}
	return p, nil
}

func (m *Machine) completion() string {
	return "kubectl_complete-" + strings.TrimPrefix(m.File, "kubectl-")
}

// names returns the names of links.
func (m *Machine) names(verbs []string) []string {
	names := []string{m.completion()}
	for _, verb := range verbs {
		names = append(names, m.File+"-"+verbOf(verb), m.completion()+"-"+verbOf(verb))
	}
	return names
}

// look tells what there is at a link's place.
func (m *Machine) look(path string) Link {
	l := Link{Path: path, Target: m.Program, State: Missing}
	if filepath.Dir(path) == filepath.Dir(m.Program) {
		l.Target = filepath.Base(m.Program) // it may be moved with its folder
	}
	here, err := os.Lstat(path)
	if err != nil {
		return l
	}
	behind, err := os.Stat(path)
	target, linkErr := os.Readlink(path)
	switch {
	case err == nil && os.SameFile(behind, m.self):
		l.State = Present
	case err == nil && (here.Mode()&os.ModeSymlink != 0 || m.Windows) && m.ours(path, behind),
		err != nil && linkErr == nil && filepath.Base(target) == m.exe(m.File):
		l.State = Stale
	default:
		l.State = Taken
	}
	return l
}

// Own returns the links of this program in the folders where Plan may have
// put them, and in dir if that is one more. Those of verbs that are no more
// count too.
func (m *Machine) Own(dir string) []Link {
	dirs := slices.Clone(m.Path)
	if m.Home != "" {
		dirs = append(dirs, filepath.Join(m.Home, ".local", "bin"))
	}
	if dir != "" {
		if at, err := filepath.Abs(dir); err == nil {
			dirs = append(dirs, at)
		}
	}
	slices.Sort(dirs)
	var own []Link
	for _, dir := range slices.Compact(dirs) {
		entries, _ := os.ReadDir(dir) // one that cannot be read has none of ours
		for _, e := range entries {
			name := strings.TrimSuffix(e.Name(), ".exe")
			if name != m.completion() && !strings.HasPrefix(name, m.completion()+"-") && !strings.HasPrefix(name, m.File+"-") {
				continue
			}
			l := m.look(filepath.Join(dir, e.Name()))
			if (l.State == Present || l.State == Stale) && (m.Windows || e.Type()&os.ModeSymlink != 0) {
				own = append(own, l)
			}
		}
	}
	return own
}

// Write makes the links that are missing or stale and returns them. When one
// cannot be made, those before it are removed again.
func (p Plan) Write() (written []Link, err error) {
	if err := os.MkdirAll(p.Folder, 0o755); err != nil {
		return nil, &NoFolderError{p.machine.Program, p.Folder, err, true}
	}
	defer func() {
		if err != nil {
			for _, l := range written {
				err = errors.Join(err, os.Remove(l.Path))
			}
			written = nil
		}
	}()
	for _, l := range p.Links {
		if l.State == Present {
			continue
		}
		if l.State == Stale {
			if err := os.Remove(l.Path); err != nil {
				return written, fmt.Errorf("replace a link: %w", err)
			}
		}
		if err := p.machine.link(l); err != nil {
			return written, fmt.Errorf("make a link: %w", err)
		}
		written = append(written, l)
	}
	return written, nil
}

// link makes one. Symbolic links take rights on Windows that few have.
func (m *Machine) link(l Link) error {
	if !m.Windows {
		return os.Symlink(l.Target, l.Path)
	}
	if os.Link(m.Program, l.Path) == nil {
		return nil
	}
	in, err := os.Open(m.Program)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(l.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		err = errors.Join(err, os.Remove(l.Path))
	}
	return err
}

// Remove removes links of this program.
func Remove(links []Link) error {
	var errs []error
	for _, l := range links {
		errs = append(errs, os.Remove(l.Path))
	}
	return errors.Join(errs...)
}

// Mend makes the links that a machine has, or should have, what they were
// written to be: that for completion, and those of verbs where some are there.
// Ours that lead to nothing and are needed no more are removed. Where another
// plugin comes first and no verb has a link, nothing is done.
func (m *Machine) Mend(verbs []string) ([]Link, error) {
	own := m.Own("")
	dir := ""
	if i := slices.IndexFunc(own, func(l Link) bool { return strings.HasPrefix(filepath.Base(l.Path), m.File+"-") }); i >= 0 {
		dir = filepath.Dir(own[i].Path)
	} else {
		verbs = nil
	}
	if m.Completion().State == Present && verbs == nil {
		return nil, nil
	}
	p, err := m.Plan(dir, verbs)
	if err != nil {
		return nil, err
	}
	written, err := p.Write()
	if err != nil {
		return nil, err
	}
	var stale []Link
	for _, l := range m.Own("") {
		if l.State == Stale {
			stale = append(stale, l)
		}
	}
	return written, Remove(stale)
}
