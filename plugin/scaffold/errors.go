package scaffold

import (
	"fmt"
	"strings"
)

// ExistsError says that files of a bundle are there already. Nothing was
// written.
type ExistsError struct{ Files []string }

func (e *ExistsError) Error() string {
	return "there already, and not written over: " + strings.Join(e.Files, ", ")
}

// NameError says that nothing in a cluster can be called like the project.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("no object can be called %q: want at most 40 letters, digits and dashes, a letter first", e.Name)
}

// NoCodeError says that a folder has neither code nor an image's command.
type NoCodeError struct{ Has []string } // what it has: "2 × .md"

func (e *NoCodeError) Error() string {
	has := "it is empty"
	if len(e.Has) > 0 {
		has = "it has " + strings.Join(e.Has, ", ")
	}
	return "no training code: no Python file, and no Dockerfile with a command; " + has
}

// NotebookError says that the code is in notebooks alone.
type NotebookError struct {
	Notebooks []string
	Needs     []string // packages that they import
	Magics    []string // cells' lines that are no Python, with where
}

func (e *NotebookError) Error() string {
	return "the code is in notebooks alone, and pods run scripts: " + strings.Join(e.Notebooks, ", ")
}

// NoEntryError says that no file looks like the one that trains.
type NoEntryError struct{ Scripts []string }

func (e *NoEntryError) Error() string {
	return fmt.Sprintf("no entry point: none of %s is started by a Dockerfile, a launch line or its name, or has both a __main__ guard and a training loop", some(e.Scripts))
}

// AmbiguousError says that several files could be the one that trains.
type AmbiguousError struct{ Entries []string }

func (e *AmbiguousError) Error() string {
	return "several entry points: " + strings.Join(e.Entries, ", ")
}

// EntryError says that the named entry point is not there.
type EntryError struct {
	Entry string
	Known []string
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("no script and no module %q in the project", e.Entry)
}

// MonorepoError says that a folder holds training projects and is none itself.
type MonorepoError struct{ Projects []Finding } // Value is the folder, Where its entry point

func (e *MonorepoError) Error() string {
	var list []string
	for _, p := range e.Projects {
		list = append(list, fmt.Sprintf("%s (%s)", p.Value, p.Where))
	}
	if len(list) == 1 {
		return "the training project is in a folder below: " + list[0]
	}
	return fmt.Sprintf("%d training projects: %s", len(list), strings.Join(list, ", "))
}

// AdoptError says that a kustomization is there and does not tell which of its
// containers gets the code.
type AdoptError struct {
	Dir        string
	Containers []string // that could be meant; none: there is no workload
}

func (e *AdoptError) Error() string {
	if len(e.Containers) == 0 {
		return fmt.Sprintf("kustomization %s has no workload that could run the code", e.Dir)
	}
	return fmt.Sprintf("kustomization %s has several containers that could run the code: %s", e.Dir, strings.Join(e.Containers, ", "))
}

// SyntaxError is a mistake in a file of the project, with its line where known.
type SyntaxError struct {
	File string
	Line int
	Msg  string
}

func (e *SyntaxError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s: %s", e.File, e.Msg)
}

// TemplateError says that there is no template of that name.
type TemplateError struct {
	Name  string
	Known []string
}

func (e *TemplateError) Error() string {
	return fmt.Sprintf("no template %q: there are %s", e.Name, strings.Join(e.Known, ", "))
}

// UnbuiltError says that a runtime image is on no machine, and what builds it.
type UnbuiltError struct {
	Image, Dockerfile, Dir string
	Needs                  []Package
}

func (e *UnbuiltError) Error() string {
	needs := ""
	if len(e.Needs) > 0 {
		needs = ", and has to bring " + Names(e.Needs)
	}
	return fmt.Sprintf("runtime image %s is not built: it is neither on this machine nor in the sandbox%s", e.Image, needs)
}

// some names a few of a list.
func some(list []string) string {
	const most = 5
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
