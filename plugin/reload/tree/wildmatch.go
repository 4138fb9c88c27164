package tree

import "strings"

// wildmatch tells whether text matches a gitignore pattern. With pathname a
// star and a question mark stop at a slash and two stars between slashes
// cross any number of folders; without it a star crosses everything.
//
// Pairs of positions that were found not to match are remembered, so that a
// hostile pattern costs the product of the lengths and not a power of them.
func wildmatch(pattern, text string, pathname bool) bool {
	m := matcher{pattern: pattern, text: text, pathname: pathname}
	return m.at(0, 0)
}

type matcher struct {
	pattern, text string
	pathname      bool
	failed        map[[2]int]struct{}
}

// at tells whether pattern[p:] matches text[t:].
func (m *matcher) at(p, t int) bool {
	for p < len(m.pattern) {
		c := m.pattern[p]
		if c == '*' {
			key := [2]int{p, t}
			if _, ok := m.failed[key]; ok {
				return false
			}
			if m.star(p, t) {
				return true
			}
			if m.failed == nil {
				m.failed = map[[2]int]struct{}{}
			}
			m.failed[key] = struct{}{}
			return false
		}
		if t == len(m.text) {
			return false
		}
		switch c {
		case '?':
			if m.pathname && m.text[t] == '/' {
				return false
			}
			p++
		case '[':
			next, ok := bracket(m.pattern, p+1, m.text[t])
			if !ok || (m.pathname && m.text[t] == '/') {
				return false
			}
			p = next
		case '\\':
			if p++; p == len(m.pattern) || m.pattern[p] != m.text[t] {
				return false
			}
			p++
		default:
			if c != m.text[t] {
				return false
			}
			p++
		}
		t++
	}
	return t == len(m.text)
}

// star matches from one or more stars at pattern[p].
func (m *matcher) star(p, t int) bool {
	first := p
	for p < len(m.pattern) && m.pattern[p] == '*' {
		p++
	}
	rest := m.pattern[p:]
	crosses := !m.pathname
	if m.pathname && p-first > 1 {
		opens := first == 0 || m.pattern[first-1] == '/'
		closes := rest == "" || rest[0] == '/' || strings.HasPrefix(rest, `\/`)
		if crosses = opens && closes; crosses && strings.HasPrefix(rest, "/") && m.at(p+1, t) {
			return true // no folder at all between the slashes
		}
	}
	if rest == "" {
		return crosses || !strings.Contains(m.text[t:], "/")
	}
	for ; t < len(m.text); t++ {
		if m.at(p, t) {
			return true
		}
		if !crosses && m.text[t] == '/' {
			return false
		}
	}
	return false
}

// bracket matches one character against the set that begins after the opening
// bracket at pattern[p-1]. It returns the position after the closing bracket;
// a set that is never closed matches nothing.
func bracket(pattern string, p int, c byte) (next int, ok bool) {
	negated := p < len(pattern) && (pattern[p] == '!' || pattern[p] == '^')
	if negated {
		p++
	}
	matched, prev, first := false, byte(0), true
	for ; ; first = false {
		if p >= len(pattern) {
			return 0, false
		}
		ch := pattern[p]
		switch {
		case ch == ']' && !first:
			return p + 1, matched != negated
		case ch == '-' && prev != 0 && p+1 < len(pattern) && pattern[p+1] != ']':
			p++
			if pattern[p] == '\\' {
				if p++; p >= len(pattern) {
					return 0, false
				}
			}
			matched = matched || (prev <= c && c <= pattern[p])
			prev = 0 // the end of a range begins no other
		case ch == '[' && strings.HasPrefix(pattern[p:], "[:"):
			end := strings.IndexByte(pattern[p+2:], ']')
			if end < 0 {
				return 0, false
			}
			name := pattern[p+2 : p+2+end]
			if !strings.HasSuffix(name, ":") { // an ordinary bracket after all
				matched, prev = matched || c == '[', '['
				break
			}
			in, known := class(strings.TrimSuffix(name, ":"), c)
			if !known {
				return 0, false
			}
			matched, prev = matched || in, 0
			p += 2 + end
		default:
			if ch == '\\' {
				if p++; p >= len(pattern) {
					return 0, false
				}
				ch = pattern[p]
			}
			matched, prev = matched || c == ch, ch
		}
		p++
	}
}

// class tells whether c is in a POSIX class of ASCII.
func class(name string, c byte) (in, known bool) {
	lower, upper, digit := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9'
	graph := c > ' ' && c < 0x7f
	switch name {
	case "alnum":
		return lower || upper || digit, true
	case "alpha":
		return lower || upper, true
	case "blank":
		return c == ' ' || c == '\t', true
	case "cntrl":
		return c < ' ' || c == 0x7f, true
	case "digit":
		return digit, true
	case "graph":
		return graph, true
	case "lower":
		return lower, true
	case "print":
		return graph || c == ' ', true
	case "punct":
		return graph && !lower && !upper && !digit, true
	case "space":
		return c == ' ' || ('\t' <= c && c <= '\r'), true
	case "upper":
		return upper, true
	case "xdigit":
		return digit || ('a' <= c && c <= 'f') || ('A' <= c && c <= 'F'), true
	}
	return false, false
}
