package tree

import "strings"

// Patterns is a list in gitignore syntax that chooses paths for something else
// than ignoring them.
type Patterns struct{ rules rules }

// ParsePatterns reads patterns, one an item.
func ParsePatterns(patterns []string) Patterns {
	return Patterns{listed("", patterns, nil).rules}
}

// Match tells whether the list chooses a file: the last pattern that matches
// it or a folder above it decides, and one with an exclamation mark takes it
// back.
func (p Patterns) Match(path string) bool {
	for i := len(p.rules) - 1; i >= 0; i-- {
		r := &p.rules[i]
		for at, dir := path, false; ; dir = true {
			cut := strings.LastIndexByte(at, '/')
			if (dir || !r.dirOnly) && r.matches(at, at[cut+1:], false) {
				return !r.negated
			}
			if cut < 0 {
				break
			}
			at = at[:cut]
		}
	}
	return false
}
