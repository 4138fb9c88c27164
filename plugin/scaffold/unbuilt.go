package scaffold

import (
	"io/fs"
	"strings"
)

// Unbuilt returns an *UnbuiltError for the runtime image of a bundle when that
// is one which the bundle's own Dockerfile builds: called like the project,
// with no registry's name before it. For others it returns nil. dir is the
// bundle's folder as the user named it.
func Unbuilt(fsys fs.FS, dir, project, image string) error {
	name, _, _ := strings.Cut(image, ":")
	if name != project {
		return nil
	}
	for _, file := range containerFiles {
		if _, err := fs.Stat(fsys, file); err != nil {
			continue
		}
		e := &UnbuiltError{Image: image, Dockerfile: file, Dir: dir}
		if s, err := look(fsys); err == nil { // else the build says what is wrong with it
			u := s.reach()
			if w, err := s.workload(""); err == nil {
				u = w.uses
			}
			e.Needs = s.needs(u)
		}
		return e
	}
	return nil
}
