package command

import (
	"context"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// treeOptions are those of every scan: dev, digest, verify and promote have
// one idea of what the code is.
func treeOptions(code project.Code) tree.Options {
	return tree.Options{Ignore: code.Ignore, IgnoreName: project.FileName, IgnoreLines: code.IgnoreLines}
}

// scan returns the code as it is on this machine, and says on stderr what was
// left out of it other than by a rule.
func scan(ctx context.Context, f *Factory, code project.Code) (tree.Index, error) {
	s := tree.NewScanner(code.Path, treeOptions(code))
	index, err := s.Scan(ctx)
	if err == nil {
		leftOut{}.say(f, s)
	}
	return index, err
}

// leftOut remembers what was said of files that are not in the tree, to say it
// once.
type leftOut map[string]bool

func (l leftOut) say(f *Factory, s *tree.Scanner) {
	once := func(what string) {
		if !l[what] {
			l[what] = true
			f.Streams.Talk("%s", what)
		}
	}
	for _, w := range s.Warnings() {
		once(w.String())
	}
	for _, h := range s.HeldBack() {
		once(h.String())
	}
	if err := s.GitError(); err != nil {
		once(err.Error() + ": none is taken as tracked")
	}
}
