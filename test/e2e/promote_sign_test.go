//go:build e2e

package e2e

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// keyPair writes NAME.pem and NAME.pub as openssl does.
func keyPair(t *testing.T, dir, name string, key crypto.Signer) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		name + ".pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		name + ".pub": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	})
}

// fromRegistry reads from the registry by plain HTTP.
func fromRegistry(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:"+registryPort+"/v2/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

// Code that nobody who may has signed is not promoted; what was signed for
// staging stays signed on its way to production, in another registry's folder;
// and a third party can tell.
func TestPromoteSigned(t *testing.T) {
	const ns = "kai-sign"
	files := settled(ns, 1, 1)
	registry := "localhost:" + registryPort + "/"
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "codeFormat: configMap}", fmt.Sprintf(`codeFormat: layer, registry: "%[2]sproduction", gates: [{signature: {keys: [keys/ci.pub]}}]}
  staging: {context: kind-%[1]s, codeFormat: layer, registry: "%[2]sstaging"}
  small: {context: kind-%[1]s, codeFormat: configMap, gates: [{signature: {keys: [keys/ci.pub]}}]}`, productionName, registry), 1)
	files["src/requirements.txt"] = "numpy==1.26.4\n"
	for _, env := range []string{"staging", "small"} {
		files["overlays/"+env+"/kustomization.yaml"] = fmt.Sprintf("namespace: %s-%s\nresources: [../../base]\n", ns, env)
	}
	// Another code each time: what an earlier run signed is in the registry still.
	files["src/seed.py"] = "SEED = \"" + rand.Text() + "\"\n"
	must(t, "sandbox", "load", pythonImage, "--name", productionName)
	dir := filepath.Join(t.TempDir(), ns)
	write(t, dir, files)
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), productionName, "", "delete", "namespace", ns, ns+"-staging", ns+"-small", "--wait=false", "--ignore-not-found")
	})
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "keys")
	keyPair(t, keys, "ci", private)
	keyPair(t, keys, "other", elliptical)
	promote := func(args ...string) result {
		return ai(t, append([]string{"promote", dir, "--yes"}, args...)...)
	}

	for name, args := range map[string][]string{"by nobody": nil, "by another key": {"--sign-key", filepath.Join(keys, "other.pem")}} {
		r := promote(append([]string{"--to", "production", "--unproven"}, args...)...)
		if r.code != 5 || !strings.Contains(r.stderr, "GATE-001") || !strings.Contains(r.stderr, "signature by keys/ci.pub: refused") {
			t.Errorf("signed %s: exit %d\n%s", name, r.code, r.stderr)
		}
		if got := kubectl(t, productionName, "get", "namespace", ns, "--ignore-not-found"); got != "" {
			t.Errorf("signed %s: %s", name, got)
		}
	}
	if r := promote("--to", "production", "--unproven", "--sign-key", filepath.Join(keys, "ci.pub")); r.code != 2 || !strings.Contains(r.stderr, "PRO-080") {
		t.Errorf("a public key signs: exit %d\n%s", r.code, r.stderr)
	}

	must(t, "promote", dir, "--to", "staging", "--yes", "--unproven", "--sign-key", filepath.Join(keys, "ci.pem"))
	must(t, "promote", dir, "--from", "staging", "--to", "production", "--yes")

	var shown struct {
		TreeDigest string
		Gates      []struct {
			Kind       string
			Signatures []struct{ Of, Key, KeyID, Digest string }
		}
		Evidence struct {
			Carrier struct {
				Objects    []string
				Statements []struct{ Of, Type, Digest, KeyID string }
			}
		}
	}
	if err := json.Unmarshal([]byte(must(t, "show", dir, "--to", "production", "-o", "json").stdout), &shown); err != nil {
		t.Fatal(err)
	}
	object := shown.Evidence.Carrier.Objects[0]
	statements := shown.Evidence.Carrier.Statements
	if !strings.HasPrefix(object, registry+"production/") || len(statements) != 2 || statements[1].Of != object || statements[1].KeyID == "" ||
		len(shown.Gates) != 1 || shown.Gates[0].Signatures[0].KeyID != statements[1].KeyID || shown.Gates[0].Signatures[0].Of != object {
		t.Errorf("%+v", shown)
	}

	t.Run("verify", func(t *testing.T) {
		must(t, "verify", dir, "--to", "production", "--key", filepath.Join(keys, "other.pub"), "--key", filepath.Join(keys, "ci.pub"))
		r := ai(t, "verify", dir, "--to", "production", "--key", filepath.Join(keys, "other.pub"))
		if r.code != 5 || !strings.Contains(r.stdout, "none of the keys signed") || !strings.Contains(r.stderr, "PRO-047") {
			t.Errorf("by another key: exit %d\n%s\n%s", r.code, r.stdout, r.stderr)
		}
	})

	t.Run("a third party can tell", func(t *testing.T) {
		repository, digest, _ := strings.Cut(strings.TrimPrefix(object, registry), "@")
		_, raw := fromRegistry(t, repository+"/referrers/"+digest)
		var list struct {
			Manifests []struct{ Digest, ArtifactType string }
		}
		if err := json.Unmarshal(raw, &list); err != nil || len(list.Manifests) != 2 {
			t.Fatalf("%s, %v", raw, err)
		}
		seen := map[string]bool{}
		for _, m := range list.Manifests {
			var manifest struct {
				ArtifactType string
				Layers       []struct{ Digest string }
			}
			_, raw := fromRegistry(t, repository+"/manifests/"+m.Digest)
			if err := json.Unmarshal(raw, &manifest); err != nil {
				t.Fatal(err)
			}
			seen[manifest.ArtifactType] = true
			_, raw = fromRegistry(t, repository+"/blobs/"+manifest.Layers[0].Digest)
			if manifest.ArtifactType == "application/vnd.cyclonedx+json" {
				if !strings.Contains(string(raw), "pkg:pypi/numpy@1.26.4") || !strings.Contains(string(raw), `"1.6"`) {
					t.Errorf("%s", raw)
				}
				continue
			}
			var envelope struct {
				PayloadType string
				Payload     []byte
				Signatures  []struct{ Sig []byte }
			}
			if err := json.Unmarshal(raw, &envelope); err != nil {
				t.Fatal(err)
			}
			signed := fmt.Sprintf("DSSEv1 %d %s %d %s", len(envelope.PayloadType), envelope.PayloadType, len(envelope.Payload), envelope.Payload)
			if !ed25519.Verify(public, []byte(signed), envelope.Signatures[0].Sig) {
				t.Errorf("the signature does not fit: %s", raw)
			}
			if s := string(envelope.Payload); !strings.Contains(s, strings.TrimPrefix(digest, "sha256:")) || !strings.Contains(s, shown.TreeDigest) {
				t.Errorf("%s", s)
			}
		}
		if len(seen) != 2 || list.Manifests[0].ArtifactType == list.Manifests[1].ArtifactType {
			t.Errorf("%v, listed as %+v", seen, list.Manifests)
		}
	})

	t.Run("another key signs what is released", func(t *testing.T) {
		r := must(t, "promote", dir, "--to", "staging", "--yes", "--unproven", "--sign-key", filepath.Join(keys, "other.pem"))
		if !strings.Contains(r.stderr, "nothing to do") || !strings.Contains(r.stderr, "its signature is in the registry now") {
			t.Errorf("%s", r.stderr)
		}
		must(t, "verify", dir, "--to", "staging", "--key", filepath.Join(keys, "other.pub"))
	})

	t.Run("ConfigMaps", func(t *testing.T) {
		must(t, "promote", dir, "--to", "small", "--yes", "--unproven", "--sign-key", filepath.Join(keys, "ci.pem"))
		verify := []string{"verify", dir, "--to", "small", "--key", filepath.Join(keys, "ci.pub")}
		must(t, verify...)
		if r := must(t, "promote", dir, "--to", "small", "--yes", "--unproven", "--sign-key", filepath.Join(keys, "ci.pem")); !strings.Contains(r.stderr, "nothing to do") {
			t.Errorf("again: %s", r.stderr)
		}
		kubectl(t, productionName, "annotate", "configmaps", "-n", ns+"-small", "--all", "kubectl-ai.dev/provenance-", "--overwrite")
		if r := ai(t, verify...); r.code != 5 || !strings.Contains(r.stdout, "it has no provenance") {
			t.Errorf("without its signature: exit %d\n%s\n%s", r.code, r.stdout, r.stderr)
		}
	})
}
