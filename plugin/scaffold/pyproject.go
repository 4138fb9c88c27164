package scaffold

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml"
)

// Pyproject is what a pyproject.toml says of packages.
type Pyproject struct {
	Format   string // formatPyproject, formatPoetry or ""
	Packages []Package
	Python   string // minor version
	Scripts  []Script
}

// Script is a command that a project declares: installing it makes a program
// that calls a function.
type Script struct {
	Name, Module, Function string
	Line                   int
}

// ParsePyproject reads the dependencies of pyproject.toml: those of PEP 621, or
// of Poetry. Its errors are *SyntaxError.
func ParsePyproject(raw []byte) (p Pyproject, err error) {
	const file = "pyproject.toml"
	tree, err := loadTOML(file, raw)
	if err != nil {
		return p, err
	}
	p.Scripts = scripts(tree)
	if s, ok := tree.GetPath([]string{"project", "requires-python"}).(string); ok {
		p.Python = pythonVersion(s)
	}
	if tree.HasPath([]string{"project"}) {
		p.Format = formatPyproject
	}
	at := []string{"project", "dependencies"}
	if v := tree.GetPath(at); v != nil {
		items, ok := v.([]any)
		if !ok {
			return p, &SyntaxError{file, tree.GetPositionPath(at).Line, "project.dependencies: want a list"}
		}
		for _, item := range items {
			s, _ := item.(string)
			m := requirement.FindStringSubmatch(strings.TrimSpace(s))
			if m == nil {
				return p, &SyntaxError{file, tree.GetPositionPath(at).Line, fmt.Sprintf("project.dependencies: %q is no requirement such as torch>=2.4", fmt.Sprint(item))}
			}
			p.Packages = append(p.Packages, Package{normal(m[1]), file})
		}
		return p, nil
	}
	if poetry, ok := tree.GetPath([]string{"tool", "poetry", "dependencies"}).(*toml.Tree); ok {
		p.Format = formatPoetry
		for _, name := range slices.Sorted(slices.Values(poetry.Keys())) {
			if name == "python" {
				if s, ok := poetry.GetPath([]string{name}).(string); ok {
					p.Python = pythonVersion(s)
				}
				continue
			}
			p.Packages = append(p.Packages, Package{normal(name), file})
		}
	}
	return p, nil
}

// loadTOML reads a file of TOML. Its errors are *SyntaxError.
func loadTOML(file string, raw []byte) (*toml.Tree, error) {
	tree, err := toml.LoadBytes(raw)
	if err != nil {
		line, msg := 0, err.Error()
		if _, scanErr := fmt.Sscanf(msg, "(%d,", &line); scanErr == nil {
			_, msg, _ = strings.Cut(msg, "): ")
		}
		return nil, &SyntaxError{file, line, msg}
	}
	return tree, nil
}

// object is a reference of the entry points specification: module:attribute,
// perhaps with extras.
var object = regexp.MustCompile(`^([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_][\w.]*)\s*(?:\[.*\])?$`)

// scripts are those of PEP 621, and Poetry's, by their names.
func scripts(tree *toml.Tree) (found []Script) {
	for _, at := range [][]string{{"project", "scripts"}, {"tool", "poetry", "scripts"}} {
		table, ok := tree.GetPath(at).(*toml.Tree)
		if !ok {
			continue
		}
		for _, name := range slices.Sorted(slices.Values(table.Keys())) {
			text, _ := table.GetPath([]string{name}).(string)
			if m := object.FindStringSubmatch(strings.TrimSpace(text)); m != nil {
				found = append(found, Script{name, m[1], m[2], table.GetPositionPath([]string{name}).Line})
			}
		}
	}
	return found
}

// ParsePipfile reads the packages of Pipenv's Pipfile, without those of
// development. Its errors are *SyntaxError.
func ParsePipfile(raw []byte) (p Pyproject, err error) {
	const file = "Pipfile"
	tree, err := loadTOML(file, raw)
	if err != nil {
		return p, err
	}
	p.Format = formatPipenv
	if packages, ok := tree.GetPath([]string{"packages"}).(*toml.Tree); ok {
		for _, name := range slices.Sorted(slices.Values(packages.Keys())) {
			if !distribution.MatchString(name) {
				return p, &SyntaxError{file, packages.GetPositionPath([]string{name}).Line, fmt.Sprintf("%q is no package such as torch", name)}
			}
			p.Packages = append(p.Packages, Package{normal(name), fmt.Sprintf("%s:%d", file, packages.GetPositionPath([]string{name}).Line)})
		}
	}
	for _, key := range []string{"python_version", "python_full_version"} {
		if s, ok := tree.GetPath([]string{"requires", key}).(string); ok && p.Python == "" {
			p.Python = minor.FindString(s)
		}
	}
	return p, nil
}
