package carrier

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry/server"
)

var (
	sbom   = attest.Document{Type: attest.TypeSBOM, MediaType: attest.TypeSBOM, Content: []byte(`{"bomFormat":"CycloneDX"}`)}
	said   = attest.Document{Type: attest.TypeProvenance, MediaType: attest.TypeProvenance, Content: []byte(`{"_type":"x"}`)}
	signed = attest.Document{Type: attest.TypeProvenance, MediaType: attest.MediaEnvelope, Content: []byte(`{"payload":""}`), KeyID: "sha256:k"}
)

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// made carries code as an image volume, which needs no runtime image, to a
// registry, with documents.
func made(t *testing.T, host string, docs ...attest.Document) *Result {
	t.Helper()
	code := newCode(t, map[string]string{"train.py": "print(1)\n"}, nil)
	packed, err := newLayer(code.Code, "/")
	if err != nil {
		t.Fatal(err)
	}
	what, err := alone(packed, code.Code, []string{"amd64", "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPush(host+"/p/code", digest, code.Digest(), what)
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{Format: FormatImageVolume, Code: []string{p.ref.String()}, pushes: []push{p}}
	if goes, err := r.Attach(r.Code[0], docs...); err != nil || len(goes) != len(docs) {
		t.Fatalf("%v, %v", goes, err)
	}
	return r
}

func contents(docs []attest.Document) []string {
	var out []string
	for _, d := range docs {
		out = append(out, d.Type+" "+d.MediaType+" "+string(d.Content))
	}
	slices.Sort(out)
	return out
}

func TestDocumentsAreAttachedInEveryRegistry(t *testing.T) {
	quietly := log.New(io.Discard, "", 0)
	dir := t.TempDir()
	own, err := server.New(dir, quietly)
	if err != nil {
		t.Fatal(err)
	}
	for kind, handler := range map[string]http.Handler{
		"with the referrers API": registry.New(registry.Logger(quietly), registry.WithReferrersSupport(true)),
		"with the tag alone":     registry.New(registry.Logger(quietly), registry.WithReferrersSupport(false)),
		"of a sandbox":           own,
	} {
		t.Run(kind, func(t *testing.T) {
			host := serve(t, handler)
			r := made(t, host, sbom, signed)
			before, err := r.Documents(t.Context(), r.Code[0])
			if err != nil || !slices.Equal(contents(before), contents([]attest.Document{sbom, signed})) {
				t.Fatalf("before it is pushed: %q, %v", contents(before), err)
			}
			if sent, err := r.Push(t.Context(), quiet{}); err != nil || sent != 3 {
				t.Fatalf("%d sent, %v", sent, err)
			}
			if sent, err := made(t, host, sbom, signed).Push(t.Context(), quiet{}); err != nil || sent != 0 {
				t.Errorf("again: %d sent, %v", sent, err)
			}
			got, err := Documents(t.Context(), r.Code[0])
			if err != nil || !slices.Equal(contents(got), contents([]attest.Document{sbom, signed})) {
				t.Errorf("%q, %v", contents(got), err)
			}
			none, err := Documents(t.Context(), strings.Replace(r.Code[0], "/p/code", "/p/other", 1))
			if err != nil || len(none) != 0 {
				t.Errorf("of an image that is not there: %q, %v", contents(none), err)
			}
		})
	}
	t.Run("of a sandbox, started again", func(t *testing.T) {
		again, err := server.New(dir, quietly)
		if err != nil {
			t.Fatal(err)
		}
		host := serve(t, again)
		if got, err := Documents(t.Context(), made(t, host).Code[0]); err != nil || len(got) != 2 {
			t.Errorf("%q, %v", contents(got), err)
		}
	})
}

func TestWhatRefersToAReleasedImageIsCopiedWithIt(t *testing.T) {
	from, to := serve(t, registry.New(registry.Logger(log.New(io.Discard, "", 0)))), serve(t, registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	first := made(t, from, sbom, signed)
	if _, err := first.Push(t.Context(), quiet{}); err != nil {
		t.Fatal(err)
	}
	list := targets(t, "i")
	mount(list[0], imageSource(first.Code[0]), newCode(t, map[string]string{"train.py": "print(1)\n"}, nil).Digest())
	released := &Released{Form: FormatImageVolume, Images: map[string]string{list[0].String(): "i"}, Stored: []*unstructured.Unstructured{list[0].Object}, Registry: to, Project: "p"}
	result, err := released.Carry(t.Context(), elsewhere(t))
	if err != nil {
		t.Fatal(err)
	}
	want := contents([]attest.Document{sbom, signed})
	if got, err := result.Documents(t.Context(), result.Code[0]); err != nil || !slices.Equal(contents(got), want) {
		t.Errorf("before it is pushed: %q, %v", contents(got), err)
	}
	if _, err := result.Push(t.Context(), quiet{}); err != nil {
		t.Fatal(err)
	}
	if got, err := Documents(t.Context(), result.Code[0]); err != nil || !strings.HasPrefix(result.Code[0], to) || !slices.Equal(contents(got), want) {
		t.Errorf("%s: %q, %v", result.Code[0], contents(got), err)
	}
}

func TestARegistryThatTakesNoArtifacts(t *testing.T) {
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			raw, _ := io.ReadAll(r.Body)
			if strings.Contains(string(raw), `"subject"`) {
				http.Error(w, `{"errors":[{"code":"MANIFEST_INVALID"}]}`, http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(strings.NewReader(string(raw)))
		}
		inner.ServeHTTP(w, r)
	}))
	r := made(t, host, sbom, said)
	if sent, err := r.Push(t.Context(), quiet{}); err != nil || sent != 1 || !r.Refused(said.Digest()) || !r.Refused(sbom.Digest()) {
		t.Errorf("unsigned: %d sent, %v", sent, err)
	}
	var refused *PushError
	if _, err := made(t, host, signed).Push(t.Context(), quiet{}); !errors.As(err, &refused) {
		t.Errorf("signed: %v", err)
	}
}

func TestADocumentThatWasChangedInItsRegistrySaysNothing(t *testing.T) {
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	digest := strings.TrimPrefix(signed.Digest(), "sha256:")
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digest) {
			_, _ = io.WriteString(w, `{"payload":"!"`+"}") // as long as the one that was pushed
			return
		}
		inner.ServeHTTP(w, r)
	}))
	r := made(t, host, signed)
	if _, err := r.Push(t.Context(), quiet{}); err != nil {
		t.Fatal(err)
	}
	docs, err := Documents(t.Context(), r.Code[0])
	if err != nil || len(docs) != 1 || !strings.Contains(string(docs[0].Content), "sha256") {
		t.Errorf("%q, %v", contents(docs), err)
	}
}

func TestConfigMapsCarrySignedProvenance(t *testing.T) {
	host, _ := newRegistry(t)
	code := newCode(t, map[string]string{"train.py": "print(1)\n"}, nil)
	r, err := (&ConfigMaps{Resolver: &Resolver{}, Project: "p"}).Carry(t.Context(), code.Code, targets(t, host+"/none:1"), quiet{})
	if err != nil {
		t.Fatal(err)
	}
	subject := Subjects(r.Format, r.Code)[0]
	if goes, err := r.Attach(subject, sbom, said); err != nil || len(goes) != 0 || len(Annotated(r.Objects[0])) != 0 {
		t.Errorf("unsigned: %v, %v", goes, err)
	}
	if goes, err := r.Attach(subject, sbom, signed); err != nil || len(goes) != 1 {
		t.Errorf("signed: %v, %v", goes, err)
	}
	if got, err := r.Documents(t.Context(), subject); err != nil || len(got) != 1 || string(got[0].Content) != string(signed.Content) {
		t.Errorf("%q, %v", contents(got), err)
	}
}

// What others make of a manifest: the subject without what only we know.
func TestTheManifestIsThatOfTheSpecification(t *testing.T) {
	host, _ := newRegistry(t)
	r := made(t, host, sbom)
	if _, err := r.Push(t.Context(), quiet{}); err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(r.Code[0])
	if err != nil {
		t.Fatal(err)
	}
	head, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.attached[0].img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject.Digest != head.Digest || m.Subject.Size != head.Size || m.Subject.MediaType != head.MediaType || m.ArtifactType != attest.TypeSBOM ||
		m.Config.MediaType != "application/vnd.oci.empty.v1+json" || m.Config.Digest.String() != "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" {
		t.Errorf("%+v", m)
	}
}
