package attest

import (
	"fmt"
	"slices"
	"strings"
)

// maxReasons bounds what is said about documents that do not count: anybody who
// may write to a registry can add some.
const maxReasons = 4

// Claim is what a statement has to say.
type Claim struct {
	Digests Digests // of the carrier; one of them is enough
	Tree    string  // digest of the code, sha256:…
}

// ClaimOf is what provenance has to say of an object that holds a code tree: of
// an image, by its digest, or of ConfigMaps, by the tree in them.
func ClaimOf(carrier, tree string) Claim {
	if _, digest, ok := strings.Cut(carrier, "@"); ok {
		return Claim{Digests: ImageDigests(digest), Tree: tree}
	}
	_, value, _ := strings.Cut(tree, ":")
	return Claim{Digests: Digests{TreeAlgorithm: value}, Tree: tree}
}

// Verified is a statement that one of the keys answers for.
type Verified struct {
	Key       PublicKey
	Statement Statement
	Digest    string // of the document
}

// Check finds, among what is said of a carrier, provenance that one of the keys
// signed and that claims what it should. Other documents do no harm: anybody
// may have added them. It returns an *UntrustedError when there is none.
func Check(documents []Document, keys []PublicKey, claim Claim) (Verified, error) {
	untrusted := &UntrustedError{}
	for _, d := range documents {
		if d.Type != TypeProvenance {
			continue
		}
		v, reason := check(d, keys, claim)
		if reason == "" {
			return v, nil
		}
		if !slices.Contains(untrusted.Reasons, reason) && len(untrusted.Reasons) < maxReasons {
			untrusted.Reasons = append(untrusted.Reasons, reason)
		}
	}
	return Verified{}, untrusted
}

func check(d Document, keys []PublicKey, claim Claim) (Verified, string) {
	if !d.Signed() {
		return Verified{}, "its provenance is not signed"
	}
	envelope, err := ParseEnvelope(d.Content)
	if err != nil {
		return Verified{}, err.Error()
	}
	key, ok := envelope.Verify(keys)
	if !ok {
		return Verified{}, unverified(envelope, keys)
	}
	if envelope.PayloadType != TypeProvenance {
		return Verified{}, fmt.Sprintf("%s signed a %s, which is no provenance", key.Name, envelope.PayloadType)
	}
	statement, err := ParseStatement(envelope.Payload)
	if err != nil {
		return Verified{}, fmt.Sprintf("%s signed %v", key.Name, err)
	}
	if !slices.ContainsFunc(statement.Subject, func(s Subject) bool { return shares(s.Digest, claim.Digests) }) {
		return Verified{}, fmt.Sprintf("%s signed provenance of %s, not of %s", key.Name, list(statement.Subject[0].Digest), list(claim.Digests))
	}
	if tree := statement.Predicate.BuildDefinition.ExternalParameters.TreeDigest; tree != claim.Tree {
		return Verified{}, fmt.Sprintf("%s signed provenance of the code %s, not of %s", key.Name, tree, claim.Tree)
	}
	return Verified{Key: key, Statement: statement, Digest: d.Digest()}, ""
}

// unverified says why no key fits. A key id is a hint: one that is among the
// keys, with a signature that does not fit, means that something was changed.
func unverified(e Envelope, keys []PublicKey) string {
	var ids []string
	for _, s := range e.Signatures {
		for _, k := range keys {
			if s.KeyID == k.ID {
				return fmt.Sprintf("the signature of %s does not fit: the provenance, or the signature, was changed", k.Name)
			}
		}
		ids = append(ids, fmt.Sprintf("%.80q", s.KeyID)) // quoted: anybody may have written it
	}
	return fmt.Sprintf("none of the keys signed its provenance, which says that %s did", strings.Join(ids[:min(len(ids), maxReasons)], ", "))
}

func shares(a, b Digests) bool {
	for algorithm, value := range b {
		if value != "" && a[algorithm] == value {
			return true
		}
	}
	return false
}

func list(d Digests) string {
	var words []string
	for algorithm, value := range d {
		words = append(words, algorithm+":"+value)
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
