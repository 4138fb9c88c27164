package gate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Carrier is an object that holds the code, and what is said of it.
type Carrier struct {
	Name      string
	Documents []attest.Document
}

// signature wants provenance of all that holds the code, signed by one of the
// keys. It returns an *attest.KeyError for a key that cannot be read.
func (k *Keeper) signature(ctx context.Context, g project.Gate) (release.Gate, error) {
	out := release.Gate{Kind: "signature", Name: "by " + strings.Join(g.Keys, " or ")}
	keys, err := ReadKeys(k.Dir, g.Keys)
	if err != nil {
		return out, err
	}
	carriers, err := k.Carriers(ctx)
	if err != nil {
		return out, err
	}
	var refusals []string
	for _, c := range carriers {
		verified, err := attest.Check(c.Documents, keys, attest.ClaimOf(c.Name, k.Tree))
		var untrusted *attest.UntrustedError
		switch {
		case errors.As(err, &untrusted):
			refusals = append(refusals, fmt.Sprintf("%s: %v", c.Name, err))
		case err != nil:
			return out, err
		default:
			out.Signatures = append(out.Signatures, release.GateSignature{Of: c.Name, Digest: verified.Digest, Key: verified.Key.Name, KeyID: verified.Key.ID})
		}
	}
	switch {
	case len(carriers) == 0:
		out.Detail = "nothing says what holds the code"
	case len(refusals) > 0:
		out.Detail = strings.Join(refusals, "; ")
	default:
		out.Passed, out.Detail = true, fmt.Sprintf("%d signed by %s", len(out.Signatures), out.Signatures[0].KeyID)
	}
	return out, nil
}

// ReadKeys reads public keys, whose paths are relative to a folder. It returns
// an *attest.KeyError.
func ReadKeys(dir string, paths []string) ([]attest.PublicKey, error) {
	var keys []attest.PublicKey
	for _, path := range paths {
		at := path
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, filepath.FromSlash(at))
		}
		raw, err := os.ReadFile(at)
		if err != nil {
			return nil, &attest.KeyError{Path: path, Reason: "cannot be read", Err: err}
		}
		key, err := attest.ParsePublicKey(path, raw)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
