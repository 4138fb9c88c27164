package setup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Shells are those that completion is there for.
var Shells = []string{"bash", "zsh", "fish", "powershell"}

// ShellOf returns the shell that $SHELL names, PowerShell on Windows where
// there is none; "" is one that completion is not there for.
func ShellOf(variable string, windows bool) string {
	name := strings.TrimSuffix(filepath.Base(filepath.ToSlash(variable)), ".exe")
	switch {
	case variable == "" && windows, name == "pwsh":
		return "powershell"
	case slices.Contains(Shells, name):
		return name
	}
	return ""
}

// Script is a shell's script of completion: where it goes so that the shell
// finds it.
type Script struct {
	Path string
	// Line is to be added to the shell's start-up file, which is the user's to
	// edit; "" where the shell loads the script by itself.
	Line, Startup string
}

// ScriptFor says where a program's script goes. getenv reads the environment.
//
// bash-completion and fish load scripts by the program's name from the user's
// folders (bash-completion README, fish "Where to put completions"). zsh reads
// the folders of fpath, and PowerShell what its profile names.
func ScriptFor(shell, program, home string, windows bool, getenv func(string) string) (Script, error) {
	under := func(variable string, otherwise ...string) string {
		if dir := getenv(variable); filepath.IsAbs(dir) {
			return dir
		}
		return filepath.Join(append([]string{home}, otherwise...)...)
	}
	if home == "" {
		return Script{}, fmt.Errorf("find the home folder: %w", os.ErrNotExist)
	}
	switch shell {
	case "bash":
		dir := getenv("BASH_COMPLETION_USER_DIR")
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(under("XDG_DATA_HOME", ".local", "share"), "bash-completion")
		}
		return Script{Path: filepath.Join(dir, "completions", program)}, nil
	case "zsh":
		for _, dir := range filepath.SplitList(getenv("FPATH")) {
			if inside, err := filepath.Rel(home, dir); err == nil && filepath.IsLocal(inside) && writable(dir) == nil {
				return Script{Path: filepath.Join(dir, "_"+program)}, nil
			}
		}
		dir := filepath.Join(under("XDG_DATA_HOME", ".local", "share"), "zsh", "site-functions")
		return Script{
			Path: filepath.Join(dir, "_"+program), Startup: filepath.Join(under("ZDOTDIR"), ".zshrc"),
			Line: fmt.Sprintf("fpath=(%s $fpath); autoload -U compinit && compinit", dir),
		}, nil
	case "fish":
		return Script{Path: filepath.Join(under("XDG_CONFIG_HOME", ".config"), "fish", "completions", program+".fish")}, nil
	}
	dir := filepath.Join(under("XDG_CONFIG_HOME", ".config"), "powershell")
	if windows {
		dir = filepath.Join(home, "Documents", "PowerShell")
	}
	path := filepath.Join(dir, program+".completion.ps1")
	return Script{Path: path, Startup: "$PROFILE", Line: ". '" + path + "'"}, nil
}

// scriptMark is the last line of what Install writes: it tells our script from
// one that the user wrote.
const scriptMark = "# written by completion --install of " + mainPackage

// Install writes the script unless a file that is not ours is there. It
// returns a *TakenError or a *NoFolderError.
func (s Script) Install(program string, text []byte) error {
	if err := s.free(); err != nil {
		return err
	}
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &NoFolderError{program, dir, err, true}
	}
	f, err := os.CreateTemp(dir, ".kubectl-ai")
	if err != nil {
		return &NoFolderError{program, dir, err, true}
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n", bytes.TrimRight(text, "\n"), scriptMark)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.Path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", s.Path, err), os.Remove(f.Name()))
	}
	return nil
}

// Remove removes the script if Install wrote it, and says whether it was there.
func (s Script) Remove() (bool, error) {
	if _, err := os.Lstat(s.Path); os.IsNotExist(err) {
		return false, nil
	}
	if err := s.free(); err != nil {
		return false, err
	}
	return true, os.Remove(s.Path)
}

// free says that no file of others is in the script's place.
func (s Script) free() error {
	if _, err := os.Lstat(s.Path); err != nil {
		return nil
	}
	text, err := os.ReadFile(s.Path)
	if err == nil && bytes.HasSuffix(bytes.TrimSpace(text), []byte(scriptMark)) {
		return nil
	}
	return &TakenError{[]string{s.Path}}
}
