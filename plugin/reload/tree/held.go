package tree

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// LargeBytes is the size above which a file is held back unless it is allowed
// by name (chosen: code is smaller, checkpoints and data are larger).
const LargeBytes = 32 << 20

// HeldBack is a file that no rule ignores and that was left out for safety.
type HeldBack struct {
	Path   string
	Reason string // "may hold a private key"
	Allow  string // the line that lets it pass, in IgnoreFile or in the project's list
}

func (h HeldBack) String() string {
	return fmt.Sprintf("%s is held back: it %s; to send it, put %s into %s", h.Path, h.Reason, h.Allow, IgnoreFile)
}

// secrets are the files that are held back by their names, in any case. A
// link of such a name passes, as only the path it leads to would be sent.
var secrets = []struct {
	reason   string
	patterns string
}{
	{"may hold a password or a token", ".env .env.* !.env.example !.env.sample !.env.template .netrc _netrc .pypirc .npmrc .pgpass .git-credentials .dockercfg **/.docker/config.json .vault-token kaggle.json"},
	{"may hold a private key", "*.pem *.key *.p12 *.pfx id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk"},
	{"may hold credentials of a cloud", "credentials.json service-account*.json service_account*.json application_default_credentials.json **/.aws/credentials"},
	{"may hold credentials of a cluster", "kubeconfig *.kubeconfig **/.kube/config"},
}

type secretRules struct {
	reason string
	rules  rules
}

var compiledSecrets = func() (all []secretRules) {
	for _, s := range secrets {
		all = append(all, secretRules{s.reason, parseRules(strings.ReplaceAll(s.patterns, " ", "\n"))})
	}
	return all
}()

// secret returns why a file of that name is held back, or "".
func secret(path, name string) string {
	for _, s := range compiledSecrets {
		if r := s.rules.match(path, name, false, true); r != nil && !r.negated {
			return s.reason
		}
	}
	return ""
}

// hold tells whether a file that would be part of the tree is held back.
func (s *Scanner) hold(path, name string, info fs.FileInfo, v verdict) (HeldBack, bool) {
	if s.o.bare || v.allowed || !info.Mode().IsRegular() {
		return HeldBack{}, false
	}
	reason := secret(path, name)
	if reason == "" && info.Size() > LargeBytes {
		reason = fmt.Sprintf("has %d MiB, more than %d", (info.Size()+1<<20-1)>>20, LargeBytes>>20)
	}
	if reason == "" {
		return HeldBack{}, false
	}
	return HeldBack{Path: path, Reason: reason, Allow: "!/" + escape(path)}, true
}

// escape turns a path into a pattern that matches it. A line break, which no
// pattern can hold, becomes a question mark.
func escape(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c == '\n' || c == '\r':
			b.WriteByte('?')
			continue
		case strings.IndexByte(wildcards, c) >= 0 || (c == ' ' && i == len(path)-1):
			b.WriteByte('\\')
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// HeldBack returns what is left out of the tree for safety, in path order: of
// the whole tree, after a Rescan too.
func (s *Scanner) HeldBack() []HeldBack {
	if !s.holds {
		return nil
	}
	held := heldIn(nil, s.top)
	slices.SortFunc(held, func(a, b HeldBack) int { return cmp.Compare(a.Path, b.Path) })
	return held
}

func heldIn(held []HeldBack, f *folder) []HeldBack {
	held = append(held, f.held...)
	for _, c := range f.children {
		if c.sub != nil {
			held = heldIn(held, c.sub)
		}
	}
	return held
}
