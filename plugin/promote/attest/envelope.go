package attest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Envelope is a payload with signatures (DSSE v1, "Envelope").
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     encoded     `json:"payload"`
	Signatures  []Signature `json:"signatures"`
}

// Signature is one of them. KeyID is a hint that nobody signed.
type Signature struct {
	KeyID string  `json:"keyid,omitempty"`
	Sig   encoded `json:"sig"`
}

// maxSignatures bounds the work that an envelope can ask for.
const maxSignatures = 32

// encoded is bytes in base64. Writers use the standard alphabet; readers take
// the one for URLs too, as the protocol demands.
type encoded []byte

func (e encoded) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, e), nil
}

func (e *encoded) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		raw, err = base64.URLEncoding.AppendDecode(nil, text)
	}
	*e = raw
	return err
}

// message is what is signed: the pre-authentication encoding of the protocol.
func message(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Sign puts a document into an envelope.
func (k *SigningKey) Sign(d Document) (Document, error) {
	sig, err := k.sign(message(d.MediaType, d.Content))
	if err != nil {
		return Document{}, fmt.Errorf("sign with %s: %w", k.public.Name, err)
	}
	raw, err := json.Marshal(Envelope{PayloadType: d.MediaType, Payload: d.Content, Signatures: []Signature{{KeyID: k.public.ID, Sig: sig}}})
	if err != nil {
		return Document{}, fmt.Errorf("sign with %s: %w", k.public.Name, err)
	}
	return Document{Type: d.Type, MediaType: MediaEnvelope, Content: raw, KeyID: k.public.ID}, nil
}

// ParseEnvelope reads an envelope. What it holds is not to be believed before
// Verify. It returns a *DocumentError.
func ParseEnvelope(raw []byte) (Envelope, error) {
	var e Envelope
	if err := decode(raw, &e); err != nil {
		return Envelope{}, &DocumentError{What: "envelope", Err: err}
	}
	switch {
	case e.PayloadType == "":
		return Envelope{}, &DocumentError{What: "envelope", Err: errors.New("it has no payloadType")}
	case len(e.Signatures) == 0 || len(e.Signatures) > maxSignatures:
		return Envelope{}, &DocumentError{What: "envelope", Err: fmt.Errorf("it has %d signatures; 1 to %d are read", len(e.Signatures), maxSignatures)}
	}
	return e, nil
}

// Verify returns the key that signed the envelope's payload.
func (e Envelope) Verify(keys []PublicKey) (PublicKey, bool) {
	signed := message(e.PayloadType, e.Payload)
	for _, s := range e.Signatures {
		for _, k := range keys {
			if k.verifies(signed, s.Sig) {
				return k, true
			}
		}
	}
	return PublicKey{}, false
}

// decode reads one JSON value and nothing after it.
func decode(raw []byte, into any) error {
	if len(raw) > Limit {
		return fmt.Errorf("%d bytes are more than %d", len(raw), Limit)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}
