package tree

import "strings"

// wildmatch tells whether text matches a pattern the way that git's
// wildmatch.c does. With pathname a star and a question mark stop at a slash
// and two stars between slashes cross any number of folders; without it a
// star crosses everything. With fold, ASCII letters match in either case
// (core.ignoreCase), but for those after a backslash or alone in brackets.
func wildmatch(pattern, text string, pathname, fold bool) bool {
	m := matcher{pattern: pattern, text: text, pathname: pathname, fold: fold}
	return m.at(0, 0) == hit
}

type matcher struct {
	pattern, text  string
	pathname, fold bool
	steps          int // characters compared; a test bounds it
}

// outcome says how an attempt ended, and for a failed one how far the star
// before it need not go on trying. This is what keeps hostile patterns cheap:
// the last star reached decides, and none before it tries again.
type outcome uint8

const (
	miss       outcome = iota
	hit                // matched
	stopFolder         // nor does any later start before the next slash
	stop               // nor does any later start
)

// at matches pattern[p:] against text[t:].
func (m *matcher) at(p, t int) outcome {
	for ; p < len(m.pattern); t++ {
		c := m.pattern[p]
		if c == '*' {
			return m.star(p, t)
		}
		m.steps++
		if t == len(m.text) {
			return stop
		}
		ch := m.lower(m.text[t])
		switch c {
		case '?':
			if m.pathname && ch == '/' {
				return miss
			}
			p++
		case '[':
			next, in, ok := m.bracket(p+1, ch)
			if !ok {
				return stop // no text passes a broken set
			}
			if !in || (m.pathname && ch == '/') {
				return miss
			}
			p = next
		case '\\':
			if p++; p == len(m.pattern) || m.pattern[p] != ch {
				return miss
			}
			p++
		default:
			if m.lower(c) != ch {
				return miss
			}
			p++
		}
	}
	if t < len(m.text) {
		return miss
	}
	return hit
}

// star matches from one or more stars at pattern[p].
func (m *matcher) star(p, t int) outcome {
	first := p
	for p < len(m.pattern) && m.pattern[p] == '*' {
		p++
	}
	rest := m.pattern[p:]
	crosses := !m.pathname
	if m.pathname && p-first > 1 {
		opens := first == 0 || m.pattern[first-1] == '/'
		closes := rest == "" || rest[0] == '/' || strings.HasPrefix(rest, `\/`)
		if crosses = opens && closes; crosses && strings.HasPrefix(rest, "/") {
			// No folder at all between the slashes.
			if o := m.at(p+1, t); o == hit || o == stop {
				return o
			}
		}
	}
	switch {
	case rest == "" && (crosses || !strings.Contains(m.text[t:], "/")):
		return hit
	case rest == "":
		return stopFolder
	case !crosses && rest[0] == '/':
		slash := strings.IndexByte(m.text[t:], '/')
		if slash < 0 {
			return stop
		}
		return m.at(p+1, t+slash+1)
	}
	for ; t < len(m.text); t++ {
		if !strings.ContainsRune(`?[\`, rune(rest[0])) {
			for m.lower(m.text[t]) != m.lower(rest[0]) {
				m.steps++
				if !crosses && m.text[t] == '/' {
					return stopFolder
				}
				if t++; t == len(m.text) {
					return stop
				}
			}
		}
		o := m.at(p, t)
		switch {
		case o == hit || o == stop || (o == stopFolder && !crosses):
			return o
		case !crosses && m.text[t] == '/':
			return stopFolder
		}
	}
	return stop
}

// lower folds an ASCII letter where case does not count.
func (m *matcher) lower(c byte) byte {
	if m.fold && 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// bracket matches one character against the set that begins after the opening
// bracket at pattern[p-1]. It returns the position after the closing bracket,
// and not ok for a set that is never closed or names an unknown class.
func (m *matcher) bracket(p int, c byte) (next int, in, ok bool) {
	pattern := m.pattern
	negated := p < len(pattern) && (pattern[p] == '!' || pattern[p] == '^')
	if negated {
		p++
	}
	prev, first := byte(0), true
	for ; ; first = false {
		m.steps++
		if p >= len(pattern) {
			return 0, false, false
		}
		ch := pattern[p]
		switch {
		case ch == ']' && !first:
			return p + 1, in != negated, true
		case ch == '-' && prev != 0 && p+1 < len(pattern) && pattern[p+1] != ']':
			p++
			if pattern[p] == '\\' {
				if p++; p >= len(pattern) {
					return 0, false, false
				}
			}
			in = in || (prev <= c && c <= pattern[p])
			if m.fold && 'a' <= c && c <= 'z' {
				upper := c - 'a' + 'A'
				in = in || (prev <= upper && upper <= pattern[p])
			}
			prev = 0 // the end of a range begins no other
		case ch == '[' && strings.HasPrefix(pattern[p:], "[:"):
			end := strings.IndexByte(pattern[p+2:], ']')
			if end < 0 {
				return 0, false, false
			}
			name := pattern[p+2 : p+2+end]
			if !strings.HasSuffix(name, ":") { // an ordinary bracket after all
				in, prev = in || c == '[', '['
				break
			}
			is, known := class(strings.TrimSuffix(name, ":"), c, m.fold)
			if !known {
				return 0, false, false
			}
			in, prev = in || is, 0
			p += 2 + end
		default:
			if ch == '\\' {
				if p++; p >= len(pattern) {
					return 0, false, false
				}
				ch = pattern[p]
			}
			in, prev = in || c == ch, ch
		}
		p++
	}
}

// class tells whether c is in a POSIX class of ASCII, as git counts: its space
// has neither vertical tab nor form feed.
func class(name string, c byte, fold bool) (in, known bool) {
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
		return c == ' ' || c == '\t' || c == '\n' || c == '\r', true
	case "upper":
		return upper || (fold && lower), true
	case "xdigit":
		return digit || ('a' <= c && c <= 'f') || ('A' <= c && c <= 'F'), true
	}
	return false, false
}
