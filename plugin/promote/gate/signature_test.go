package gate

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// newKey writes a public key into a folder and returns the private one.
func newKey(t *testing.T, dir, name string) *attest.SigningKey {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		t.Fatal(err)
	}
	key, err := attest.ParseSigningKey(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestASignatureGate(t *testing.T) {
	dir := t.TempDir()
	ci, other := newKey(t, dir, "ci.pub"), newKey(t, dir, "other.pub")
	build := attest.Build{Project: "p", Format: "layer", Tree: tree.Digest{1}}
	one, two := "r.example/p/a@sha256:"+strings.Repeat("1", 64), "r.example/p/b@sha256:"+strings.Repeat("2", 64)
	signed := func(of string, key *attest.SigningKey) []attest.Document {
		d, err := build.Provenance(of, "p/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if d, err = key.Sign(d); err != nil {
			t.Fatal(err)
		}
		return []attest.Document{d}
	}
	for _, c := range []struct {
		name     string
		carriers []Carrier
		says     string
		passes   bool
	}{
		{"all signed", []Carrier{{one, signed(one, ci)}, {two, signed(two, ci)}}, "2 signed by " + ci.Public().ID, true},
		{"one of two not", []Carrier{{one, signed(one, ci)}, {two, nil}}, two + ": it has no provenance", false},
		{"by another key", []Carrier{{one, signed(one, other)}}, "none of the keys", false},
		{"of another image", []Carrier{{two, signed(one, ci)}}, "not of sha256:2222", false},
		{"nothing that holds code", nil, "nothing says what holds the code", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keeper()
			k.Dir, k.Tree = dir, build.Tree.String()
			k.Carriers = func(context.Context) ([]Carrier, error) { return c.carriers, nil }
			found, err := k.Check(t.Context(), []project.Gate{{Keys: []string{"ci.pub"}}})
			var refused *RefusedError
			if errors.As(err, &refused) == c.passes || len(found) != 1 || found[0].Passed != c.passes || !strings.Contains(found[0].Detail, c.says) {
				t.Fatalf("%+v, %v", found, err)
			}
			if c.passes && (found[0].Signatures[1].Of != two || found[0].Signatures[1].KeyID != ci.Public().ID || found[0].Signatures[1].Key != "ci.pub" || found[0].Name != "by ci.pub") {
				t.Errorf("%+v", found[0])
			}
		})
	}
	t.Run("a key that is not there", func(t *testing.T) {
		k := keeper()
		k.Dir = dir
		var unread *attest.KeyError
		if _, err := k.Check(t.Context(), []project.Gate{{Keys: []string{"none.pub"}}}); !errors.As(err, &unread) || unread.Path != "none.pub" {
			t.Errorf("%v", err)
		}
	})
}
