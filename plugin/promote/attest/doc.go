// Package attest says what a carrier of code is made of, and who says so: an
// in-toto Statement with SLSA provenance, and a CycloneDX bill of materials.
// With a key the statement is signed; it names the bill of materials by digest,
// so one signature answers for both.
//
// Nothing here touches a network: carrier brings documents to where they belong.
//
// Invariants:
//   - The same inputs give the same bytes, signatures included: there are no
//     times and no random numbers in them. So a repeated promotion adds nothing.
//   - What is not known is left out. Packages are listed where a file of the
//     tree pins their version, and what is in the runtime image is said to be
//     incomplete.
//   - A document says nothing until its signature is verified: key ids and
//     annotations are hints, and are not trusted.
//
// Sources: in-toto Attestation Framework (Statement v1), SLSA v1 (Provenance),
// DSSE v1 (Protocol), CycloneDX 1.6, PEP 440 and 508 (version pins).
package attest

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Types of documents, as the artifactType of a manifest has them.
const (
	TypeProvenance = "application/vnd.in-toto+json"
	TypeSBOM       = "application/vnd.cyclonedx+json"
)

// MediaEnvelope is the media type of a document in a signed envelope.
const MediaEnvelope = "application/vnd.dsse.envelope.v1+json"

// Limit bounds a document that is read, in bytes: a bill of materials has some
// 200 bytes a file.
const Limit = 64 << 20

// Document is something said of a carrier.
type Document struct {
	Type      string // TypeProvenance or TypeSBOM
	MediaType string // of Content: that type, or MediaEnvelope
	Content   []byte
	KeyID     string // whose signature we put on it; "" when it is read
}

// Signed says whether the document is in an envelope, by whomever.
func (d Document) Signed() bool { return d.MediaType == MediaEnvelope }

// Digest is that of the document's bytes.
func (d Document) Digest() string { return fmt.Sprintf("sha256:%x", sha256.Sum256(d.Content)) }

// KeyError says that a file holds no key of use.
type KeyError struct {
	Path   string
	Reason string
	Next   string // the command that makes what is wanted of it; may be ""
	Err    error
}

func (e *KeyError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("key %s: %s: %v", e.Path, e.Reason, e.Err)
	}
	return fmt.Sprintf("key %s %s", e.Path, e.Reason)
}

func (e *KeyError) Unwrap() error { return e.Err }

// DocumentError says that a document cannot be read.
type DocumentError struct {
	What string // envelope or statement
	Err  error
}

func (e *DocumentError) Error() string { return fmt.Sprintf("no %s: %v", e.What, e.Err) }
func (e *DocumentError) Unwrap() error { return e.Err }

// UntrustedError says that nothing by one of the keys is said of a carrier, or
// not what it should be.
type UntrustedError struct {
	Reasons []string // one a document, at most maxReasons of them
}

func (e *UntrustedError) Error() string {
	if len(e.Reasons) == 0 {
		return "it has no provenance"
	}
	return strings.Join(e.Reasons, "; ")
}
