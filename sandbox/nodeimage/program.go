package nodeimage

import (
	"context"
	"path"
	"path/filepath"
)

// Program is a main package of a published Go module, for the image of a
// program that is no part of a node.
type Program struct {
	Module, Version string
	Package         string // below the module: cmd/prometheus
	Tags            []string
}

// Compile returns the file of the program, static and for Linux on this
// machine's architecture, compiled once and kept in the cache. It returns
// *child.MissingError without a Go compiler, and *child.Error.
func (p Program) Compile(ctx context.Context, cache string) (file string, err error) {
	t, err := findGo(ctx)
	if err != nil {
		return "", err
	}
	name := path.Base(p.Package)
	s := source{Module: p.Module, Version: p.Version, Tags: p.Tags, Programs: []program{{Name: name, Package: p.Package}}}
	if !s.compiled(cache, t) {
		if err := s.compile(ctx, cache, t); err != nil {
			return "", err
		}
	}
	return filepath.Join(s.dir(cache, t), name), nil
}

// Key names what the program is compiled from.
func (p Program) Key() string { return keyOf(p) }
