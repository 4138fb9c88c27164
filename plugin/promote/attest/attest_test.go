package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func private(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

func public(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PUBLIC KEY", der)
}

// newKeys makes an Ed25519 and a P-256 key, as files have them.
func newKeys(t testing.TB) map[string]*SigningKey {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]*SigningKey{}
	for name, raw := range map[string][]byte{"ed25519.pem": private(t, ed), "p256.pem": private(t, ec)} {
		if keys[name], err = ParseSigningKey(name, raw); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

const carried = "registry.example/team/digits/python@sha256:" + "11" + "22334455667788990011223344556677889900112233445566778899001122"

func build() Build {
	return Build{
		Project: "digits", Version: "v1.2.3", Format: "layer", Tree: tree.Digest{7}, Generation: 12,
		Runtimes: []Runtime{{Image: "python:3.11-slim", Ref: "index.docker.io/library/python@sha256:aa", Digest: "sha256:aa"}},
	}
}

func provenance(t testing.TB, b Build) Document {
	t.Helper()
	sbom, err := b.SBOM(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.Provenance(carried, "digits/python", &sbom)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func sign(t testing.TB, key *SigningKey, d Document) Document {
	t.Helper()
	signed, err := key.Sign(d)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestTheSameInputsGiveTheSameBytes(t *testing.T) {
	for name, key := range newKeys(t) {
		one, two := sign(t, key, provenance(t, build())), sign(t, key, provenance(t, build()))
		if one.Digest() != two.Digest() {
			t.Errorf("%s: %s and %s", name, one.Content, two.Content)
		}
	}
}

func TestProvenanceSaysWhatWentIn(t *testing.T) {
	s, err := ParseStatement(provenance(t, build()).Content)
	if err != nil {
		t.Fatal(err)
	}
	definition := s.Predicate.BuildDefinition
	if got := definition.ExternalParameters; got.Project != "digits" || got.TreeDigest != build().Tree.String() || got.CodeFormat != "layer" {
		t.Errorf("%+v", got)
	}
	if definition.InternalParameters != (Internal{Generation: 12}) || definition.ResolvedDependencies[1].Digest["sha256"] != "aa" {
		t.Errorf("%+v", definition)
	}
	if s.Predicate.RunDetails.Builder.Version["kubectl-ai"] != "v1.2.3" || !strings.HasPrefix(s.SBOM(), "sha256:") {
		t.Errorf("%+v", s.Predicate.RunDetails)
	}
	unproven := build()
	unproven.Generation = 0
	ran := unproven
	ran.Run = "k7x2mq"
	if s, err := ParseStatement(provenance(t, ran).Content); err != nil || s.Predicate.BuildDefinition.InternalParameters != (Internal{Run: "k7x2mq"}) {
		t.Errorf("a run is no proof: %+v, %v", s, err)
	}
	if s, err = ParseStatement(provenance(t, unproven).Content); err != nil || !s.Predicate.BuildDefinition.InternalParameters.Unproven {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestCheck(t *testing.T) {
	keys := newKeys(t)
	key, other := keys["ed25519.pem"], keys["p256.pem"]
	claim := ClaimOf(carried, build().Tree.String())
	good := sign(t, key, provenance(t, build()))
	edit := func(d Document, change func(*Envelope)) Document {
		e, err := ParseEnvelope(d.Content)
		if err != nil {
			t.Fatal(err)
		}
		change(&e)
		if d.Content, err = json.Marshal(e); err != nil {
			t.Fatal(err)
		}
		return d
	}
	otherTree := build()
	otherTree.Tree = tree.Digest{8}
	elsewhere, err := build().Provenance(strings.Replace(carried, "1122", "3344", 1), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	sbom, err := build().SBOM(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	junk := good
	junk.Content = []byte("{}")
	for _, c := range []struct {
		name string
		docs []Document
		says string // "": it passes
	}{
		{"by the key", []Document{good}, ""},
		{"by the key, among others", []Document{provenance(t, build()), junk, sign(t, other, provenance(t, build())), good}, ""},
		{"nothing", nil, "no provenance"},
		{"a bill of materials alone", []Document{sbom}, "no provenance"},
		{"not signed", []Document{provenance(t, build())}, "not signed"},
		{"by another key", []Document{sign(t, other, provenance(t, build()))}, "none of the keys"},
		{"payload changed", []Document{edit(good, func(e *Envelope) { e.Payload = []byte(strings.Replace(string(e.Payload), `"layer"`, `"Layer"`, 1)) })}, "was changed"},
		{"payload type changed", []Document{edit(good, func(e *Envelope) { e.PayloadType = "text/plain" })}, "was changed"},
		{"signature cut", []Document{edit(good, func(e *Envelope) { e.Signatures[0].Sig = e.Signatures[0].Sig[:10] })}, "was changed"},
		{"no signature", []Document{edit(good, func(e *Envelope) { e.Signatures = nil })}, "0 signatures"},
		{"key id of the key, signature of another", []Document{edit(sign(t, other, provenance(t, build())), func(e *Envelope) { e.Signatures[0].KeyID = key.Public().ID })}, "was changed"},
		{"of another image", []Document{sign(t, key, elsewhere)}, "not of sha256:1122"},
		{"of another tree", []Document{sign(t, key, provenance(t, otherTree))}, "provenance of the code " + otherTree.Tree.String()},
		{"another document of the key's", []Document{sign(t, key, Document{Type: TypeProvenance, MediaType: "text/plain", Content: []byte("hello")})}, "which is no provenance"},
		{"no statement", []Document{sign(t, key, Document{Type: TypeProvenance, MediaType: TypeProvenance, Content: []byte(`{"_type":"x"}`)})}, "no statement"},
		{"no envelope", []Document{junk}, "no envelope"},
		{"a key id that moves the cursor", []Document{edit(sign(t, other, provenance(t, build())), func(e *Envelope) { e.Signatures[0].KeyID = "\x1b[2J" })}, `\x1b[2J`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Check(c.docs, []PublicKey{key.Public()}, claim)
			var untrusted *UntrustedError
			switch {
			case c.says == "" && (err != nil || v.Key.ID != key.Public().ID || v.Digest != good.Digest()):
				t.Errorf("%+v, %v", v, err)
			case c.says != "" && (!errors.As(err, &untrusted) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v; it should say %q", err, c.says)
			}
		})
	}
	t.Run("a key id is a hint", func(t *testing.T) {
		for _, id := range []string{"", "another"} {
			d := edit(good, func(e *Envelope) { e.Signatures[0].KeyID = id })
			if _, err := Check([]Document{d}, []PublicKey{other.Public(), key.Public()}, claim); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("ConfigMaps by the tree in them", func(t *testing.T) {
		of := func(b Build) error {
			d, err := b.Provenance("ConfigMap/digits-code-1", "ConfigMap/digits-code-1", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Check([]Document{sign(t, other, d)}, []PublicKey{other.Public()}, ClaimOf("ConfigMap/other", build().Tree.String()))
			return err
		}
		if err := of(build()); err != nil {
			t.Error(err)
		}
		if err := of(otherTree); err == nil {
			t.Error("another tree passes")
		}
	})
}

// The protocol's own example, so that others read what is signed here.
func TestTheMessageIsThatOfTheProtocol(t *testing.T) {
	if got := string(message("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Error(got)
	}
	for _, payload := range []string{"++//", "--__"} {
		e, err := ParseEnvelope([]byte(`{"payloadType":"t","payload":"` + payload + `","signatures":[{"sig":"aGk="}]}`))
		if err != nil || string(e.Payload) != "\xfb\xef\xff" {
			t.Errorf("%q, %v", e.Payload, err)
		}
	}
}

func TestKeysOfNoUse(t *testing.T) {
	big, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := x509.MarshalECPrivateKey(small)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := private(t, small)
	for _, c := range []struct {
		name string
		raw  []byte
		says string
	}{
		{"empty", nil, "not PEM"},
		{"garbage", []byte("-----BEGIN PRIVATE KEY-----\nnothing"), "not PEM"},
		{"PEM of garbage", pemOf("PRIVATE KEY", []byte("garbage")), "not PKCS#8"},
		{"RSA", private(t, rsaKey), "is an RSA key"},
		{"RSA, PKCS#1", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), "is an RSA key"},
		{"P-384", private(t, big), "ECDSA on P-384"},
		{"SEC 1", append(pemOf("EC PARAMETERS", []byte{6}), pemOf("EC PRIVATE KEY", old)...), "SEC 1"},
		{"encrypted", pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), "is encrypted"},
		{"public", public(t, small.Public()), "the private one is wanted"},
		{"two", append(good, good...), "more than one key"},
		{"an unknown block", pemOf("OPENSSH PRIVATE KEY", []byte("x")), "OPENSSH PRIVATE KEY"},
	} {
		_, err := ParseSigningKey("k.pem", c.raw)
		var refused *KeyError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "k.pem") {
			t.Errorf("%s: %v; it should say %q", c.name, err, c.says)
		}
	}
	for name, c := range map[string]struct {
		raw  []byte
		says string
	}{
		"private":     {good, "the public one is wanted"},
		"RSA":         {public(t, rsaKey.Public()), "is an RSA key"},
		"P-384":       {public(t, big.Public()), "ECDSA on P-384"},
		"certificate": {pemOf("CERTIFICATE", []byte("x")), "is a certificate"},
		"garbage":     {pemOf("PUBLIC KEY", []byte("x")), "no public key"},
	} {
		if _, err := ParsePublicKey("k.pub", c.raw); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; it should say %q", name, err, c.says)
		}
	}
	pub, err := ParsePublicKey("k.pub", public(t, small.Public()))
	key, keyErr := ParseSigningKey("k.pem", good)
	if err != nil || keyErr != nil || pub.ID != key.Public().ID {
		t.Errorf("%+v, %v, %v", pub, err, keyErr)
	}
}

// Whatever a registry gives, it is an error or something that round-trips; and
// nothing passes that the key did not sign.
func FuzzEnvelope(f *testing.F) {
	key := newKeys(f)["p256.pem"]
	good := sign(f, key, provenance(f, build()))
	f.Add(good.Content)
	f.Add([]byte(`{"payloadType":"t","payload":"e30","signatures":[{"sig":""}]}`))
	f.Add([]byte(`{"payloadType":"t","payload":null,"signatures":[{},{}]} x`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := Document{Type: TypeProvenance, MediaType: MediaEnvelope, Content: raw}
		_, err := Check([]Document{d}, []PublicKey{key.Public()}, ClaimOf(carried, build().Tree.String()))
		e, parseErr := ParseEnvelope(raw)
		if parseErr != nil {
			if err == nil {
				t.Error("what is no envelope passes")
			}
			return
		}
		if err == nil && string(e.Payload) != string(provenance(t, build()).Content) {
			t.Errorf("another payload passes: %s", e.Payload)
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseEnvelope(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}

func FuzzStatement(f *testing.F) {
	f.Add(provenance(f, build()).Content)
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[{"digest":null}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseStatement(raw)
		if err != nil {
			return
		}
		_ = s.SBOM()
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseStatement(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}
