package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts the plan's files into dir. It returns an *ExistsError when one of
// them is there, and writes all of them or none: what was written before an
// error is taken away again, with the folders that it was put into.
func (p *Plan) Write(dir string) error {
	there := &ExistsError{}
	for _, f := range p.Files {
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Path))); err == nil {
			there.Files = append(there.Files, f.Path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write the bundle: %w", err)
		}
	}
	if len(there.Files) > 0 {
		return there
	}
	var made []string // files and folders, in order
	for _, f := range p.Files {
		if err := put(filepath.Join(dir, filepath.FromSlash(f.Path)), f.Content, &made); err != nil {
			problems := []error{fmt.Errorf("write the bundle: %w", err)}
			for i := len(made) - 1; i >= 0; i-- {
				if err := os.Remove(made[i]); err != nil {
					problems = append(problems, err)
				}
			}
			return errors.Join(problems...)
		}
	}
	return nil
}

// put writes a new file, and notes what it made.
func put(name string, content []byte, made *[]string) error {
	if err := mkdir(filepath.Dir(name), made); err != nil {
		return err
	}
	// O_EXCL: a file that came meanwhile is not written over either.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	*made = append(*made, name)
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func mkdir(dir string, made *[]string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		*made = append(*made, dir)
	case errors.Is(err, fs.ErrNotExist):
		if err := mkdir(filepath.Dir(dir), made); err != nil {
			return err
		}
		return mkdir(dir, made)
	case errors.Is(err, fs.ErrExist):
		return nil // a file in its place fails with what is put into it
	default:
		return err
	}
	return nil
}
