package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// SigningKey is a private key: ECDSA on P-256, or Ed25519.
type SigningKey struct {
	signer crypto.Signer
	public PublicKey
}

// PublicKey tells whose a signature is.
type PublicKey struct {
	// Name is what people call it: the file that it came from.
	Name string
	// ID is the digest of its SubjectPublicKeyInfo (RFC 5280), such as
	// sha256:9c1f….
	ID  string
	key crypto.PublicKey
}

// Public returns the key that verifies what k signs.
func (k *SigningKey) Public() PublicKey { return k.public }

// ParseSigningKey reads a private key: PEM, PKCS#8, not encrypted. path is what
// errors call it. It returns a *KeyError.
func ParseSigningKey(path string, raw []byte) (*SigningKey, error) {
	der, err := block(path, raw, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, &KeyError{Path: path, Reason: "is not PKCS#8", Err: err}
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, &KeyError{Path: path, Reason: fmt.Sprintf("is a %T, which signs nothing", parsed)}
	}
	public, err := newPublicKey(path, signer.Public())
	if err != nil {
		return nil, err
	}
	return &SigningKey{signer: signer, public: public}, nil
}

// ParsePublicKey reads a public key: PEM, SubjectPublicKeyInfo. It returns a
// *KeyError.
func ParsePublicKey(path string, raw []byte) (PublicKey, error) {
	der, err := block(path, raw, "PUBLIC KEY")
	if err != nil {
		return PublicKey{}, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, &KeyError{Path: path, Reason: "is no public key", Err: err}
	}
	return newPublicKey(path, parsed)
}

// others are what key files hold as well, and what makes of them what is
// wanted.
var others = map[string]struct{ is, next string }{
	"PRIVATE KEY":           {"is a private key; the public one is wanted", "openssl pkey -in %s -pubout"},
	"PUBLIC KEY":            {"is a public key; the private one is wanted", ""},
	"EC PRIVATE KEY":        {"is in the older form SEC 1; PKCS#8 is wanted", "openssl pkcs8 -topk8 -nocrypt -in %s"},
	"RSA PRIVATE KEY":       {"is an RSA key; ECDSA on P-256 or Ed25519 is wanted", newKey},
	"RSA PUBLIC KEY":        {"is an RSA key; ECDSA on P-256 or Ed25519 is wanted", newKey},
	"ENCRYPTED PRIVATE KEY": {"is encrypted, and nobody is asked for its passphrase", "openssl pkcs8 -topk8 -nocrypt -in %s"},
	"CERTIFICATE":           {"is a certificate; a key is wanted", "openssl x509 -pubkey -noout -in %s"},
}

const newKey = "openssl genpkey -algorithm ed25519"

// block returns the one PEM block of a file.
func block(path string, raw []byte, want string) ([]byte, error) {
	b, rest := pem.Decode(raw)
	if b != nil && b.Type == "EC PARAMETERS" { // openssl ecparam writes it first
		b, rest = pem.Decode(rest)
	}
	if b == nil {
		return nil, &KeyError{Path: path, Reason: "is not PEM (-----BEGIN " + want + "-----)"}
	}
	if b.Type != want {
		e := &KeyError{Path: path, Reason: fmt.Sprintf("holds %q; %q is wanted", b.Type, want)}
		if o, ok := others[b.Type]; ok {
			e.Reason, e.Next = o.is, o.next
		}
		return nil, e
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, &KeyError{Path: path, Reason: "holds more than one key"}
	}
	return b.Bytes, nil
}

// newPublicKey refuses what is not ECDSA on P-256 or Ed25519.
func newPublicKey(path string, key crypto.PublicKey) (PublicKey, error) {
	const wanted = "; ECDSA on P-256 or Ed25519 is wanted"
	switch k := key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return PublicKey{}, &KeyError{Path: path, Reason: "is ECDSA on " + k.Curve.Params().Name + wanted, Next: newKey}
		}
	case *rsa.PublicKey:
		return PublicKey{}, &KeyError{Path: path, Reason: "is an RSA key" + wanted, Next: newKey}
	default:
		return PublicKey{}, &KeyError{Path: path, Reason: fmt.Sprintf("is a %T", key) + wanted, Next: newKey}
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return PublicKey{}, &KeyError{Path: path, Reason: "is no public key", Err: err}
	}
	return PublicKey{Name: path, ID: fmt.Sprintf("sha256:%x", sha256.Sum256(der)), key: key}, nil
}

// sign signs a message. ECDSA takes its nonce from the message (RFC 6979), so
// the same message has the same signature.
func (k *SigningKey) sign(message []byte) ([]byte, error) {
	if _, ok := k.public.key.(ed25519.PublicKey); ok {
		return k.signer.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return k.signer.Sign(nil, sum[:], crypto.SHA256)
}

func (k PublicKey) verifies(message, signature []byte) bool {
	switch key := k.key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, sum[:], signature)
	}
	return false
}
