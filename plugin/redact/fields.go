package redact

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/sets"
)

var (
	// secretEnds are the last words of names whose values are secret.
	secretEnds = sets.New("password", "passwd", "passphrase", "passcode", "pwd", "pass", "secret", "token", "apikey", "credential", "credentials",
		"secretkey", "accesskey", "privatekey", "accountkey", "cookie", "auth", "dockerconfigjson", "dsn", "pat")
	// glued are the ends of words that are written as one, such as PGPASSWORD.
	glued = []string{"password", "passwd", "passphrase", "secret", "token", "apikey"}
	// keysOf are the words before key that make it a secret one.
	keysOf = sets.New("api", "access", "secret", "private", "encryption", "signing", "account", "shared", "master", "client", "license", "ssh", "gpg", "auth", "service", "storage", "subscription", "deploy", "session")
	// units are words before token that make it one of a language model, or a
	// place in a list.
	units = sets.New("pad", "eos", "bos", "unk", "sep", "cls", "mask", "special", "next", "prev", "last", "first", "image", "stop", "per", "max", "min", "new", "begin", "end", "start", "stream", "unexpected", "invalid", "vocab")
	// passwords have values of any kind; what else is named like a secret has
	// often none.
	passwords = []string{"password", "passwd", "passphrase", "passcode", "pwd"}
)

// words are those of a name, in lower case: DB_PASSWORD, clientSecret,
// client-key-data, .dockerconfigjson.
func words(name string) []string {
	var out []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			out, word = append(out, strings.ToLower(string(word))), nil
		}
	}
	runes := []rune(name)
	for i, c := range runes {
		switch {
		case !unicode.IsLetter(c) && !unicode.IsDigit(c):
			end()
			continue
		case unicode.IsUpper(c) && i > 0 && unicode.IsLower(runes[i-1]):
			end()
		}
		word = append(word, c)
	}
	end()
	return out
}

// IsSecretName says whether a name of a field or of a variable says that its
// value is secret.
func IsSecretName(name string) bool {
	w := words(name)
	for len(w) > 1 && slices.Contains([]string{"data", "value", "base64", "b64", "raw", "plain"}, w[len(w)-1]) {
		w = w[:len(w)-1]
	}
	if len(w) == 0 {
		return false
	}
	last, before := w[len(w)-1], ""
	if len(w) > 1 {
		before = w[len(w)-2]
	}
	switch {
	case last == "token":
		return !units.Has(before)
	case last == "key":
		return keysOf.Has(before)
	case secretEnds.Has(last):
		return true
	}
	return slices.ContainsFunc(glued, func(end string) bool { return strings.HasSuffix(last, end) })
}

func isPasswordName(name string) bool {
	return slices.ContainsFunc(passwords, func(p string) bool { return strings.HasSuffix(strings.ToLower(name), p) })
}

// trivial values are none: empty, a word for nothing, a reference to a variable.
func trivial(value string) bool {
	switch strings.ToLower(strings.Trim(value, " \t\"'`,;.)]}")) {
	case "", "true", "false", "null", "nil", "none", "undefined", "redacted", "masked", "~", "{", "[", "|", ">", "|-", ">-", "xxx", "xxxx", "xxxxx", "***", "****":
		return true
	}
	return strings.HasPrefix(value, "$") && strings.TrimLeft(value, "$({") != "" && strings.IndexFunc(strings.Trim(value, "$({})"), notOfAName) < 0 ||
		strings.HasPrefix(value, maskBegin) || strings.HasPrefix(value, "***")
}

func notOfAName(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// isSecretValue decides by the name, and by whether there is a value.
func isSecretValue(name, value string) bool {
	if !IsSecretName(name) || trivial(value) || isPath(value) {
		return false
	}
	if isPasswordName(name) {
		return true
	}
	_, err := strconv.ParseFloat(strings.Trim(value, ",;"), 64)
	return err != nil // a number is a count, an index, a time
}

// isPath tells a file that holds a secret from the secret: PWD and
// GOOGLE_APPLICATION_CREDENTIALS are names of files.
func isPath(value string) bool {
	return slices.ContainsFunc([]string{"/etc/", "/var/", "/run/", "/tmp/", "/home/", "/root/", "/Users/", "/mnt/", "/opt/", "/usr/", "/srv/", "/app/", "/data/", "/workspace/", "~/", "./"},
		func(folder string) bool { return strings.HasPrefix(value, folder) })
}

// isBareSecret is more careful: after "token: " may come a word of a sentence.
func isBareSecret(name, value string) bool {
	return isSecretValue(name, value) && (isPasswordName(name) || len(value) >= 2*long || len(value) >= long && isRandom("", value))
}

// Value masks in a value of JSON what its fields say is secret: fields with
// such names, variables of an environment, flags of a command line. It changes
// the value in place and returns it. Texts in it are for Text, after it was
// written.
func (m *Masker) Value(v any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.walk(v)
}

func (m *Masker) walk(v any) any {
	switch v := v.(type) {
	case map[string]any:
		name, _ := v["name"].(string)
		for key, item := range v {
			text, isText := item.(string)
			if isText && (isSecretValue(key, text) || key == "value" && isSecretValue(name, text)) {
				m.found(text)
				m.count(RuleField, 1)
				v[key] = m.mask(text)
				continue
			}
			v[key] = m.walk(item)
		}
	case []any:
		flag := ""
		for i, item := range v {
			text, isText := item.(string)
			if isText && flag != "" && !strings.HasPrefix(text, "-") && isSecretValue(flag, text) {
				m.found(text)
				m.count(RuleField, 1)
				text = m.mask(text)
				v[i] = text
			} else {
				v[i] = m.walk(item)
			}
			flag = ""
			if isText && strings.HasPrefix(text, "-") && !strings.Contains(text, "=") {
				flag = text
			}
		}
	}
	return v
}

// LearnEnvironment notes the values of variables (NAME=value) whose names say
// that they are secret.
func (m *Masker) LearnEnvironment(variables []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range variables {
		if name, value, ok := strings.Cut(v, "="); ok && len(value) >= long && isSecretValue(name, value) {
			m.note(value)
		}
	}
}
