package tree

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// source is one place that rules come from: a file or a list. A nil source
// has no rules.
type source struct {
	name  string // relative to the tree where that is possible, for people
	rules rules

	raw  string
	id   identity
	read time.Time
}

// listed makes a source of patterns; lines are where they stand in the file
// of that name, and may be missing.
func listed(name string, patterns []string, lines []int) *source {
	s := &source{name: name}
	for i, p := range patterns {
		rs := parseRules(p)
		for j := range rs {
			if rs[j].line = 0; i < len(lines) {
				rs[j].line = lines[i]
			}
		}
		s.rules = append(s.rules, rs...)
	}
	return s
}

// refresh reads the file again unless nothing speaks for a change, and tells
// whether its content did. A file that is not there, or none, has no rules.
func (s *source) refresh(full string, stat func(string) (fs.FileInfo, error)) (changed bool, err error) {
	info, err := stat(full)
	if err != nil || !info.Mode().IsRegular() {
		changed = s.raw != ""
		*s = source{name: s.name}
		if err != nil && !gone(err) {
			return changed, err
		}
		return changed, nil
	}
	id := identify(info)
	if id == s.id && !id.racy(s.read) {
		return false, nil
	}
	read := time.Now()
	raw, err := os.ReadFile(full)
	if err != nil && !gone(err) {
		return false, err
	}
	s.id, s.read = id, read
	if content := string(raw); content != s.raw {
		s.raw, s.rules = content, parseRules(content)
		return true, nil
	}
	return false, nil
}

// found is a rule that matched, and where it stands.
type found struct {
	rule *rule
	from *source
}

func (s *source) match(path, name string, dir, fold bool) found {
	if s == nil || len(s.rules) == 0 {
		return found{}
	}
	if r := s.rules.match(path, name, dir, fold); r != nil {
		return found{r, s}
	}
	return found{}
}

// ignores tells whether a rule was found that takes the path out.
func (f found) ignores() bool { return f.rule != nil && !f.rule.negated }

// loadRules brings the rules that stand in a folder up to date and tells
// whether they changed. has says whether the folder holds a name. Links of
// these names count for nothing, as with git.
func (s *Scanner) loadRules(f *folder, has func(name string) bool) (changed bool, err error) {
	for _, at := range []struct {
		name string
		src  **source
	}{{".gitignore", &f.git}, {IgnoreFile, &f.own}} {
		if !has(at.name) {
			changed = changed || (*at.src != nil && (*at.src).raw != "")
			*at.src = nil
			continue
		}
		rel := f.join(at.name)
		if *at.src == nil {
			*at.src = &source{name: rel}
		}
		c, err := (*at.src).refresh(s.full(rel), os.Lstat)
		if err != nil {
			return false, &ReadError{rel, err}
		}
		changed = changed || c
	}
	return changed, nil
}

// gone tells whether an error means that a path is no longer what it was.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || isNotDir(err) }
