package tree

import "strings"

// IgnoreFile is the name of the files that hold rules for kubectl ai alone.
const IgnoreFile = ".kubectl-ai-ignore"

// Defaults are the patterns with the last word: any .gitignore file,
// .kubectl-ai-ignore file or project file may take one back with a leading
// exclamation mark.
var Defaults = []string{
	"__pycache__/", "*.pyc", ".venv/", "venv/", "node_modules/", ".DS_Store",
	".ipynb_checkpoints/", "*.swp", "*~", "4913",
}

// rule is one line of a gitignore file.
type rule struct {
	text     string // as git shows it: without spaces at the end that do not count
	line     int
	negated  bool   // takes back an earlier match
	dirOnly  bool   // ended in a slash
	anchored bool   // held a slash: matched against the path, not the name
	prefix   string // of an anchored pattern: what stands before the first wildcard
	pattern  string // the rest
	form     form
}

// form is how a pattern is compared.
type form uint8

const (
	wild    form = iota
	literal      // holds no wildcard
	suffix       // a star and then no wildcard; pattern is what follows the star
)

const wildcards = `*?[\`

// rules are the lines of one file, or one list of patterns.
type rules []rule

// parseRules reads the content of a gitignore file.
func parseRules(content string) rules {
	var rs rules
	content = strings.TrimPrefix(content, "\ufeff")
	number := 0
	for line := range strings.SplitSeq(content, "\n") {
		number++
		if r, ok := parseRule(strings.TrimSuffix(line, "\r")); ok {
			r.line = number
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
	line, _, _ = strings.Cut(line, "\x00") // git's lines are strings of C
	line = trimSpaces(line)
	r.text = line
	line, r.negated = strings.CutPrefix(line, "!")
	whole := line
	line, r.dirOnly = strings.CutSuffix(line, "/")
	r.anchored = strings.Contains(line, "/")
	r.pattern = strings.TrimPrefix(line, "/")
	if r.pattern == "" {
		return r, false
	}
	switch first := strings.IndexAny(r.pattern, wildcards); {
	case first < 0:
		r.form = literal
	case r.anchored:
		r.prefix, r.pattern = r.pattern[:first], r.pattern[first:]
	case whole[0] == '*' && !strings.ContainsAny(whole[1:], wildcards):
		r.form, r.pattern = suffix, r.pattern[1:]
	}
	return r, true
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

// match returns the last rule that matches a path relative to the folder of
// the rules, or nil. With fold, the case of ASCII letters does not count.
func (rs rules) match(path, name string, dir, fold bool) *rule {
	for i := len(rs) - 1; i >= 0; i-- {
		if r := &rs[i]; (dir || !r.dirOnly) && r.matches(path, name, fold) {
			return r
		}
	}
	return nil
}

func (r *rule) matches(path, name string, fold bool) bool {
	subject := name
	if r.anchored {
		subject = path
	}
	switch r.form {
	case literal:
		return len(subject) == len(r.pattern) && same(subject, r.pattern, fold)
	case suffix:
		from := len(subject) - len(r.pattern)
		return from >= 0 && same(subject[from:], r.pattern, fold)
	}
	// As in git, what follows the literal beginning is a pattern of its own:
	// two stars right after it count as if a slash stood before them.
	n := len(r.prefix)
	return len(subject) >= n && same(subject[:n], r.prefix, fold) && wildmatch(r.pattern, subject[n:], r.anchored, fold)
}

// same compares two strings of one length.
func same(a, b string, fold bool) bool {
	if !fold {
		return a == b
	}
	m := matcher{fold: true}
	for i := range len(a) {
		if m.lower(a[i]) != m.lower(b[i]) {
			return false
		}
	}
	return true
}
