package audit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

func newKey(t *testing.T, name string) *attest.SigningKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := attest.ParseSigningKey(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// verdicts are the findings in words, those that differ with what was found.
func verdicts(findings []Finding) string {
	var lines []string
	for _, f := range findings {
		line := f.What + " " + string(f.Verdict)
		if f.Verdict == Differs {
			line += ": " + f.Found
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTheSignatureOfARelease(t *testing.T) {
	key, other := newKey(t, "ci.pub"), newKey(t, "other.pub")
	for _, format := range []string{carrier.FormatLayer, carrier.FormatConfigMap} {
		r, c, index := promoted(t, format)
		subject := r.Record.Evidence.Carrier.Objects[0]
		build := attest.Build{Project: "p", Format: format, Tree: index.Digest(), Generation: 1}
		sbom, err := build.SBOM(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		write := func(b attest.Build, key *attest.SigningKey) attest.Document {
			d, err := b.Provenance(subject, "p", &sbom)
			if err != nil {
				t.Fatal(err)
			}
			if d, err = key.Sign(d); err != nil {
				t.Fatal(err)
			}
			return d
		}
		good := write(build, key)
		r.Record.Evidence.Carrier.Statements = []release.Statement{{Of: subject, Type: attest.TypeProvenance, Digest: good.Digest(), KeyID: good.KeyID}}
		otherTree := build
		otherTree.Tree = tree.Digest{9}
		for _, k := range []struct {
			name string
			docs []attest.Document
			key  *attest.SigningKey
			want string // the differences, each in some words; "": none
		}{
			{"as it was", []attest.Document{sbom, good}, key, ""},
			{"verified with another key", []attest.Document{sbom, good}, other, "none of the keys signed"},
			{"signed anew by another", []attest.Document{sbom, write(build, other)}, key, "not there|none of the keys signed"},
			{"removed", []attest.Document{sbom}, key, "not there|it has no provenance"},
			{"of another tree", []attest.Document{sbom, write(otherTree, key)}, key, "not there|signed provenance of"},
			{"its bill of materials removed", []attest.Document{good}, key, map[string]string{carrier.FormatLayer: "not there"}[format]},
		} {
			t.Run(format+", "+k.name, func(t *testing.T) {
				for _, obj := range c.objects {
					if obj.GetKind() == "ConfigMap" {
						unstructured.RemoveNestedField(obj.Object, "metadata", "annotations", carrier.ProvenanceAnnotation)
						for _, d := range k.docs {
							if d.Signed() {
								_ = unstructured.SetNestedField(obj.Object, string(d.Content), "metadata", "annotations", carrier.ProvenanceAnnotation)
							}
						}
					}
				}
				found, err := Signatures(t.Context(), r, c, []attest.PublicKey{k.key.Public()}, func(_ context.Context, ref string) ([]attest.Document, error) {
					if ref != subject {
						t.Errorf("asked for %s", ref)
					}
					return k.docs, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				var differs []string
				for _, f := range found {
					if f.Verdict == Differs {
						differs = append(differs, f.Found)
					}
				}
				wants := strings.Split(k.want, "|")
				if k.want == "" {
					wants = nil
				}
				if len(differs) != len(wants) || len(found) == 0 {
					t.Fatalf("%s\nwant %q", verdicts(found), wants)
				}
				for i := range wants {
					if !strings.Contains(differs[i], wants[i]) {
						t.Errorf("%s\nwant %q", verdicts(found), wants)
					}
				}
			})
		}
	}
	t.Run("a release that does not say what holds the code", func(t *testing.T) {
		found, err := Signatures(t.Context(), Release{}, &cluster{}, []attest.PublicKey{key.Public()}, nil)
		if err != nil || len(found) != 1 || found[0].Verdict != Differs {
			t.Errorf("%+v, %v", found, err)
		}
	})
}
