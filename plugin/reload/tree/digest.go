package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest identifies the content of a tree. The zero Digest is no tree at all;
// the empty tree has a digest like every other.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// String returns the digest as sha256:<64 hex>.
func (d Digest) String() string { return digestPrefix + hex.EncodeToString(d[:]) }

// Short returns the first twelve hex digits, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// IsZero tells whether d is no tree's digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// ParseDigest reads what String writes.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(digits) != 2*len(d) || strings.ToLower(digits) != digits {
		return d, fmt.Errorf("tree digest %q: want sha256: and 64 lower-case hex digits", s)
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, fmt.Errorf("tree digest %q: %w", s, err)
	}
	return d, nil
}

// Digest returns the digest of the tree. The index must be sorted.
func (ix Index) Digest() Digest {
	h := sha256.New()
	buf := make([]byte, 0, 32<<10)
	for _, e := range ix {
		buf = appendLine(buf, e)
		if len(buf) > 28<<10 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
	return Digest(h.Sum(nil))
}

// Manifest returns the lines that the digest is taken over.
func (ix Index) Manifest() []byte {
	var buf []byte
	for _, e := range ix {
		buf = appendLine(buf, e)
	}
	return buf
}

func appendLine(buf []byte, e Entry) []byte {
	letter := byte('f')
	switch e.Kind {
	case Executable:
		letter = 'x'
	case Link:
		letter = 'l'
	}
	buf = append(buf, letter, ' ')
	buf = hex.AppendEncode(buf, e.Sum[:])
	buf = append(buf, ' ', ' ')
	buf = appendEscaped(buf, e.Path)
	return append(buf, '\n')
}

func appendEscaped(buf []byte, path string) []byte {
	if !strings.ContainsAny(path, "\\\n\r") {
		return append(buf, path...)
	}
	for i := range len(path) {
		switch c := path[i]; c {
		case '\\':
			buf = append(buf, '\\', '\\')
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\r':
			buf = append(buf, '\\', 'r')
		default:
			buf = append(buf, c)
		}
	}
	return buf
}
