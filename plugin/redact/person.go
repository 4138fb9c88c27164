package redact

import (
	"regexp"
	"strings"
)

// replacement takes one thing out of texts.
type replacement struct {
	find *regexp.Regexp
	by   string
}

func (r replacement) replace(s string) (string, int) {
	n := len(r.find.FindAllStringIndex(s, -1))
	if n == 0 {
		return s, 0
	}
	return r.find.ReplaceAllString(s, r.by), n
}

// Person has texts say ~ for a home folder, and USER for the name of its owner
// in other paths and before an @. It is called before the first text.
func (m *Masker) Person(home, user string) {
	if home = strings.TrimRight(home, `/\`); len(home) > 1 {
		m.person = append(m.person, replacement{regexp.MustCompile(regexp.QuoteMeta(home) + `($|[^A-Za-z0-9_\-])`), "~$1"})
	}
	if i := strings.LastIndex(user, `\`); i >= 0 { // DOMAIN\name
		user = user[i+1:]
	}
	if user != "" && user != "root" {
		name := regexp.QuoteMeta(user)
		m.person = append(m.person,
			replacement{regexp.MustCompile(`((?:/home/|/Users/|\\Users\\|/run/media/|/scratch/))` + name + `($|[^A-Za-z0-9_\-])`), "${1}USER$2"},
			replacement{regexp.MustCompile(`(^|[^A-Za-z0-9_.\-])` + name + `@`), "${1}USER@"})
	}
}
