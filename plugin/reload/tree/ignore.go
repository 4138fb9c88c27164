package tree

import "strings"

// Defaults are the patterns that every scan begins with. A .gitignore file or
// the project file may take one back with a leading exclamation mark, but for
// .git and the agents' own folder.
var Defaults = []string{
	"__pycache__/", "*.pyc", ".venv/", "venv/", "node_modules/", ".DS_Store",
	".ipynb_checkpoints/", "*.swp", "*~", "4913",
}

// rule is one line of a gitignore file.
type rule struct {
	pattern  string
	negated  bool // takes back an earlier match
	dirOnly  bool // ended in a slash
	anchored bool // held a slash: matched against the path, not the name
	literal  bool // holds no wildcard
}

// rules are the lines of one file, or one list of patterns.
type rules []rule

// parseRules reads the content of a gitignore file.
func parseRules(content string) rules {
	var rs rules
	content = strings.TrimPrefix(content, "\ufeff")
	for line := range strings.SplitSeq(content, "\n") {
		if r, ok := parseRule(strings.TrimSuffix(line, "\r")); ok {
			rs = append(rs, r)
		}
	}
	return rs
}

func parseRule(line string) (rule, bool) {
	var r rule
	if strings.HasPrefix(line, "#") {
		return r, false
	}
	line = trimSpaces(line)
	line, r.negated = strings.CutPrefix(line, "!")
	line, r.dirOnly = strings.CutSuffix(line, "/")
	r.anchored = strings.Contains(line, "/")
	r.pattern = strings.TrimPrefix(line, "/")
	r.literal = !strings.ContainsAny(r.pattern, `*?[\`)
	return r, r.pattern != ""
}

// trimSpaces drops spaces at the end that no backslash keeps.
func trimSpaces(s string) string {
	end := 0 // after the last character that stays
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = min(i+1, len(s))
	}
	return s[:end]
}

// match returns what the last matching rule says of a path relative to the
// folder of the rules.
func (rs rules) match(path, name string, dir bool) (ignored, decided bool) {
	for i := len(rs) - 1; i >= 0; i-- {
		r := &rs[i]
		if r.dirOnly && !dir {
			continue
		}
		subject := name
		if r.anchored {
			subject = path
		}
		if r.literal && r.pattern == subject || !r.literal && wildmatch(r.pattern, subject, r.anchored) {
			return !r.negated, true
		}
	}
	return false, false
}
