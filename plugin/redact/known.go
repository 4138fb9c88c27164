package redact

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// shortest is the length from which a value is looked for: a shorter one
	// would hide ordinary words.
	shortest = 4
	// long is the length from which it is looked for inside of words too.
	long = 8
	// longest is the length up to which it is: what is longer is no password
	// but a file, whose lines are looked for.
	longest = 16 << 10
	// longLine is the length from which a line of a value is looked for alone,
	// as a log has it.
	longLine = 16
)

// plain are values that Secrets have and that hide nothing.
var plain = []string{"true", "false", "null", "none", "default", "admin", "root", "user", "username", "localhost", "masked", "kube-system", "main", "latest", "test", "https", "http"}

// note remembers a value in all the forms in which it may be met.
func (m *Masker) note(value string) {
	value = strings.TrimSpace(value)
	if _, err := strconv.ParseUint(value, 10, 16); err == nil {
		return // a port, a size
	}
	if len(value) < shortest || trivial(value) || slices.Contains(plain, strings.ToLower(value)) || strings.Contains(value, maskBegin) {
		return
	}
	mask := m.mask(value)
	add := func(form string) {
		if len(form) >= shortest && m.forms[form] == "" {
			m.forms[form], m.known = mask, nil
		}
	}
	if lines := strings.Split(value, "\n"); len(lines) > 1 {
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= longLine && !strings.HasPrefix(line, "-----") {
				add(line)
			}
		}
	}
	if len(value) > longest || !utf8.ValidString(value) && len(value) > 1<<10 {
		return
	}
	add(value)
	if quoted, err := json.Marshal(value); err == nil {
		add(strings.Trim(string(quoted), `"`))
	}
	add(url.QueryEscape(value))
	add(url.PathEscape(value))
	for _, form := range encoded(value) {
		add(form)
	}
}

// encoded are the forms that a value has within base64 of a text around it:
// one for each place in a group of three bytes, without the characters that
// depend on what is around.
func encoded(value string) []string {
	out := []string{base64.StdEncoding.EncodeToString([]byte(value))}
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + value))
		core := text[(before*8+5)/6 : (before+len(value))*8/6]
		if len(core) < long {
			continue
		}
		out = append(out, core)
		if safe := strings.NewReplacer("+", "-", "/", "_").Replace(core); safe != core {
			out = append(out, safe)
		}
	}
	return out
}

// replacer replaces values by masks in one pass. Short ones count only where
// they are words of their own.
type replacer struct {
	long  *strings.Replacer
	short [][2]string
}

func newReplacer(forms map[string]string) *replacer {
	r := &replacer{}
	var pairs []string
	// A value may hold another one: the longest goes first.
	values := slices.SortedFunc(func(yield func(string) bool) {
		for form := range forms {
			if !yield(form) {
				return
			}
		}
	}, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	for _, form := range values {
		if len(form) >= long {
			pairs = append(pairs, form, forms[form])
		} else {
			r.short = append(r.short, [2]string{form, forms[form]})
		}
	}
	r.long = strings.NewReplacer(pairs...)
	return r
}

func (r *replacer) replace(s string) string {
	s = r.long.Replace(s)
	for _, pair := range r.short {
		s = replaceWord(s, pair[0], pair[1])
	}
	return s
}

// replaceWord replaces a text where no letter or digit is beside it, and no
// mask around it.
func replaceWord(s, word, by string) string {
	if !strings.Contains(s, word) {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, word)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		after, _ := utf8.DecodeRuneInString(s[i+len(word):])
		b.WriteString(s[:i])
		if partOfWord(before) || partOfWord(after) || strings.HasSuffix(s[:i], maskBegin) {
			b.WriteString(word)
		} else {
			b.WriteString(by)
		}
		s = s[i+len(word):]
	}
}

func partOfWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
