package redact

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// rule finds secrets in a line. The group named value is the secret.
type rule struct {
	name string
	// hints are in every line that it may find something in, in lower case.
	hints []string
	find  func() *regexp.Regexp
	// secret says of a match whether it is one; nil: always. name is what the
	// group of that name matched, "" where there is none.
	secret func(name, value string) bool
	// inner: what is no secret as a whole may hold one.
	inner bool
}

// lazy compiles an expression when it is first needed: most commands mask
// nothing.
func lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

const (
	// fieldName is a name that may be that of a secret; IsSecretName decides.
	fieldName = `(?P<name>[a-z0-9_.\-]*(?:pass|pwd|secret|token|key|credential|cookie|auth|dockerconfigjson)[a-z0-9_\-]*)`
	// fieldIs is what stands between a name and its value. Quotes have
	// backslashes in JSON that is a text of JSON.
	fieldIs = `\\*["']?[ \t]*(?:=>|:=|:|=)[ \t]*`
	quoted  = `\\+"(?P<value>[^"\\]+)\\+"|"(?P<value>(?:[^"\\]|\\.)*)"|'(?P<value>[^']*)'`
	bare    = `(?P<value>[^\s"'&<>\\]+)`
)

var fieldHints = []string{"pass", "pwd", "secret", "token", "key", "credential", "cookie", "auth", "dockerconfigjson"}

// rules are asked in this order: the surest shapes first.
var rules = []rule{
	{
		name: RuleHeader, hints: []string{"authorization", "x-auth-token", "x-api-key", "cookie"}, secret: isHeader,
		find: lazy(`(?i)(?:authorization|x-auth-token|x-api-key|cookie)\\*["']?[ \t]*[:=,][ \t]*\[?\\*["']?(?:(?:bearer|basic|token|digest|negotiate|apikey)[ \t]+)?(?P<value>[^\r\n"'\\<>]+)`),
	},
	{
		name: RuleHeader, hints: []string{"bearer", "basic"}, secret: isCredential,
		find: lazy(`(?i)\b(?P<name>bearer|basic)[ \t]+(?P<value>[A-Za-z0-9\-._~+/]{8,}=*)`),
	},
	{name: RuleURL, hints: []string{"://"}, find: lazy(`[A-Za-z][A-Za-z0-9+.\-]*://[^\s/"'<>:@]*:(?P<value>[^\s/"'<>]+)@`)},
	{name: RuleURL, hints: []string{"http"}, find: lazy(`(?i)https?://(?P<value>[^\s/"'<>:@]+)@`)},
	{
		name: RuleURL, hints: []string{"="},
		find: lazy(`(?i)[?&;](?:X-(?:Amz|Goog|Oss)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig|[a-z_\-]*token|code|[a-z_\-]*(?:key|secret|password))=(?P<value>[^&\s"'<>\\]{6,})`),
	},
	// RFC 7519: three parts in base64, the first of which is a JSON object.
	{name: RuleToken, hints: []string{"eyj"}, find: lazy(`(?P<value>eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]{5,}(?:\.[A-Za-z0-9_\-]+)*)`)},
	{
		name: RuleToken, hints: []string{"_", "-", "akia", "asia", "abia", "acca", "aiza", ".", "~", "dapi"},
		find: lazy(`(?P<value>` +
			`(?:hf|api_org|gh[pousr]|github_pat|dckr_pat|npm|r8|gsk|dop_v1|shpat|lin_api|wandb_v1|sk_live|sk_test|rk_live|rk_test|whsec)_[A-Za-z0-9_]{16,}` +
			`|(?:glpat|gldt|glrt|glcbt|glptt|glft|glimt|glagent|glsoat|nvapi|pypi|xapp|xox[abeoprs])-[A-Za-z0-9_\-]{10,}` +
			`|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}` +
			`|AIza[A-Za-z0-9_\-]{30,}|ya29\.[A-Za-z0-9_\-]{16,}|hv[sbr]\.[A-Za-z0-9_\-]{20,}|sha256~[A-Za-z0-9_\-]{20,}` +
			`|dapi[a-f0-9]{32}|AGE-SECRET-KEY-1[A-Z0-9]{20,}|hooks\.slack\.com/services/[A-Za-z0-9/]+)`),
	},
	{name: RuleToken, hints: []string{"sk-"}, secret: isRandom, find: lazy(`(?:^|[^A-Za-z0-9])(?P<value>sk-[A-Za-z0-9_\-]{16,})`)},
	{
		// A line of an environment, to its end.
		name: RuleField, hints: fieldHints, secret: isSecretValue,
		find: lazy(`(?i)^(?:[ \t]*export[ \t]+)?` + fieldName + `=(?:"(?P<value>[^"]+)"|'(?P<value>[^']+)'|(?P<value>[^"'\s].*?))[ \t\r]*$`),
	},
	{
		name: RuleField, hints: fieldHints, secret: isSecretValue, inner: true,
		find: lazy(`(?i)-` + fieldName + `[ \t]+(?:` + quoted + `|(?P<value>[^\s"'\-<][^\s"'<>]*))`),
	},
	{
		name: RuleField, hints: fieldHints, secret: isSecretValue, inner: true,
		find: lazy(`(?i)` + fieldName + fieldIs + `(?:` + quoted + `)`),
	},
	{
		name: RuleField, hints: fieldHints, secret: isBareSecret, inner: true,
		find: lazy(`(?i)` + fieldName + fieldIs + bare),
	},
}

// line masks what the rules find in a line. The Masker is locked.
func (m *Masker) line(s string) string {
	lower := strings.ToLower(s)
	for _, r := range rules {
		if slices.ContainsFunc(r.hints, func(hint string) bool { return strings.Contains(lower, hint) }) {
			s = m.apply(r, s)
		}
	}
	return s
}

// apply masks what a rule finds.
func (m *Masker) apply(r rule, s string) string {
	find := r.find()
	matches := find.FindAllStringSubmatchIndex(s, -1)
	if matches == nil {
		return s
	}
	var b strings.Builder
	at, n := 0, 0
	for _, match := range matches {
		name, from, to := "", -1, -1
		for group, called := range find.SubexpNames() {
			switch {
			case match[2*group] < 0:
			case called == "name":
				name = s[match[2*group]:match[2*group+1]]
			case called == "value":
				from, to = match[2*group], match[2*group+1]
			}
		}
		if from < 0 || strings.TrimSpace(s[from:to]) == "" {
			continue
		}
		value := s[from:to]
		b.WriteString(s[at:from])
		at = to
		switch {
		case strings.Contains(value, maskBegin):
			b.WriteString(value)
		case r.secret == nil || r.secret(name, value):
			m.found(value)
			b.WriteString(m.mask(value))
			n++
		case r.inner:
			b.WriteString(m.apply(r, value))
		default:
			b.WriteString(value)
		}
	}
	b.WriteString(s[at:])
	m.count(r.name, n)
	return b.String()
}

const (
	keyBegin = "-----BEGIN "
	keyEnd   = "-----END "
	keyName  = "PRIVATE KEY"
	// longestKey is how far the end of a key is looked for.
	longestKey = 16 << 10
)

// privateKeys masks the bodies of private keys (RFC 7468), whatever stands
// before each line, and also those of which the beginning or the end is not
// in the text.
func (m *Masker) privateKeys(s string) string {
	if !strings.Contains(s, keyName) {
		return s
	}
	var b strings.Builder
	hide := func(body string) {
		if strings.TrimSpace(strings.ReplaceAll(body, `\n`, "")) == "" || strings.HasPrefix(strings.TrimSpace(body), maskBegin) {
			b.WriteString(body)
			return
		}
		core := strings.TrimSpace(body)
		for _, part := range keyLine().FindAllString(strings.ReplaceAll(core, `\n`, "\n"), -1) {
			m.note(part) // a log may have its lines alone, or behind others
		}
		m.count(RulePrivateKey, 1)
		b.WriteString(strings.Replace(body, core, m.mask(core), 1))
	}
	for {
		begin, end := marker(s, keyBegin), marker(s, keyEnd)
		switch {
		case begin[0] < 0 && end[0] < 0:
			b.WriteString(s)
			return b.String()
		case begin[0] < 0 || end[0] >= 0 && end[0] < begin[0]: // the beginning is missing
			// Above the line that ends it, or before the end in a line of JSON.
			to := strings.LastIndexByte(s[:end[0]], '\n') + 1
			from := to
			if keyLine().MatchString(s[to:end[0]]) {
				from, to = to+strings.LastIndexAny(s[to:end[0]], `"'`)+1, end[0]
			}
			for from > 0 && s[from-1] == '\n' {
				line := strings.LastIndexByte(s[:from-1], '\n') + 1
				if !keyLine().MatchString(s[line:from]) {
					break
				}
				from = line
			}
			b.WriteString(s[:from])
			hide(s[from:to])
			b.WriteString(s[to:end[1]])
			s = s[end[1]:]
		default:
			b.WriteString(s[:begin[1]])
			s = s[begin[1]:]
			if end = marker(s[:min(len(s), longestKey)], keyEnd); end[0] >= 0 {
				hide(s[:end[0]])
				b.WriteString(s[end[0]:end[1]])
				s = s[end[1]:]
				continue
			}
			to := 0 // the end is missing
			for to < len(s) {
				line := strings.IndexByte(s[to:], '\n') + 1
				if line == 0 {
					line = len(s) - to
				}
				if text := s[to : to+line]; strings.TrimSpace(text) != "" && !keyLine().MatchString(text) {
					break
				}
				to += line
			}
			hide(s[:to])
			s = s[to:]
		}
	}
}

// keyLine is a line of base64, with something before it perhaps.
var keyLine = lazy(`[A-Za-z0-9+/=]{16,}`)

// marker finds the first line that begins or ends a private key.
func marker(s, kind string) [2]int {
	for at := 0; ; {
		i := strings.Index(s[at:], kind)
		if i < 0 {
			return [2]int{-1, -1}
		}
		at += i
		label, _, ok := strings.Cut(s[at+len(kind):min(len(s), at+len(kind)+64)], "-----")
		if ok && strings.Contains(label, keyName) {
			return [2]int{at, at + len(kind) + len(label) + len("-----")}
		}
		at += len(kind)
	}
}

// found learns a value that a rule found, where it is not likely to be a word
// that other texts have too.
func (m *Masker) found(value string) {
	if len(value) >= long && isRandom("", value) {
		m.note(value)
	}
}

// isHeader says whether what follows the name of a header is more than how
// somebody says who he is.
func isHeader(_, value string) bool {
	switch strings.ToLower(strings.Trim(value, " \t[]")) {
	case "", "bearer", "basic", "token", "digest", "negotiate", "apikey":
		return false
	}
	return true
}

// isCredential tells what follows Bearer and Basic in a header from a word
// that follows them in a sentence.
func isCredential(scheme, value string) bool {
	if strings.EqualFold(scheme, "basic") {
		raw, err := base64.StdEncoding.DecodeString(value)
		return err == nil && strings.Contains(string(raw), ":")
	}
	return isRandom("", value)
}

// isRandom says whether a value is no word: it has digits among letters, or
// letters of both cases in the middle, or signs.
func isRandom(_, value string) bool {
	var digits, lower, upper, signs int
	for i, c := range value {
		switch {
		case unicode.IsDigit(c):
			digits++
		case unicode.IsUpper(c) && i > 0:
			upper++
		case unicode.IsLower(c):
			lower++
		case strings.ContainsRune("!@#$%^&*+=~|?", c):
			signs++
		}
	}
	return digits > 0 && lower+upper > 0 || lower > 0 && upper > 0 || signs > 0
}
