package carrier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Blob is a part of an image as its registry has it now.
type Blob struct {
	What   string // manifest, configuration, layer
	Digest string // what it should be
	Found  string // what its bytes are; "": the registry does not give it
	Err    error  // why not
}

// Same tells whether the registry has the very bytes.
func (b Blob) Same() bool { return b.Found == b.Digest }

// Reread downloads an image that was pushed here, named by digest, and hashes
// all that it consists of. It returns the tree that its last layer brings below
// the mount path. What is wrong with the image is in the blobs; an error is that
// of ctx, or of a registry that does not answer.
func Reread(ctx context.Context, ref, mountPath string) (tree.Index, []Blob, error) {
	parsed, err := name.NewDigest(ref)
	if err != nil {
		return nil, nil, fmt.Errorf("image %q: %w", ref, err)
	}
	repo := parsed.Context()
	credentials, err := authn.DefaultKeychain.Resolve(repo)
	if err != nil {
		return nil, nil, fmt.Errorf("find the credentials for %s: %w", repo, err)
	}
	way, err := transport.NewWithContext(ctx, repo.Registry, credentials, http.DefaultTransport, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, nil, fmt.Errorf("ask registry %s: %w", repo.RegistryStr(), err)
	}
	r := reader{client: &http.Client{Transport: way}, repo: repo, mountPath: mountPath, read: map[string]bool{}}
	r.manifest(ctx, parsed.DigestStr())
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return r.index, r.blobs, nil
}

// reader reads by plain HTTP (OCI distribution specification, Pull): a client
// that verifies digests itself would not say what it got instead.
type reader struct {
	client    *http.Client
	repo      name.Repository
	mountPath string
	read      map[string]bool
	blobs     []Blob
	index     tree.Index
}

// manifestLimit bounds a manifest, in bytes; the specification has registries
// take 4 MiB at least.
const manifestLimit = 16 << 20

func (r *reader) manifest(ctx context.Context, digest string) {
	var raw []byte
	same := r.get(ctx, "manifest", "manifests", digest, func(body io.Reader) (err error) {
		raw, err = io.ReadAll(io.LimitReader(body, manifestLimit))
		return err
	})
	if !same {
		return // what it lists is not what was pushed
	}
	if list, err := v1.ParseIndexManifest(bytes.NewReader(raw)); err == nil && list.MediaType.IsIndex() {
		for _, m := range list.Manifests {
			r.manifest(ctx, m.Digest.String())
		}
		return
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		r.blobs = append(r.blobs, Blob{What: "manifest", Digest: digest, Err: err})
		return
	}
	r.get(ctx, "configuration", "blobs", m.Config.Digest.String(), nil)
	for i, l := range m.Layers {
		var code func(io.Reader) error
		if i == len(m.Layers)-1 {
			code = func(body io.Reader) error {
				content, err := gzip.NewReader(body)
				if err != nil {
					return err
				}
				r.index, err = treeIn(content, r.mountPath)
				return err
			}
		}
		r.get(ctx, "layer", "blobs", l.Digest.String(), code)
	}
}

// get downloads and hashes something, once, and tells whether it is what its
// digest says. use reads what comes; its error alone does not count: what is
// another content is likely to make no sense.
func (r *reader) get(ctx context.Context, what, kind, digest string, use func(io.Reader) error) bool {
	if r.read[digest] || ctx.Err() != nil {
		return false
	}
	r.read[digest] = true
	b := Blob{What: what, Digest: digest}
	b.Found, b.Err = r.hash(ctx, kind, digest, use)
	r.blobs = append(r.blobs, b)
	return b.Same()
}

func (r *reader) hash(ctx context.Context, kind, digest string, use func(io.Reader) error) (string, error) {
	at := url.URL{Scheme: r.repo.Scheme(), Host: r.repo.RegistryStr(), Path: fmt.Sprintf("/v2/%s/%s/%s", r.repo.RepositoryStr(), kind, digest)}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return "", err
	}
	for _, accepted := range []types.MediaType{types.OCIImageIndex, types.OCIManifestSchema1, types.DockerManifestList, types.DockerManifestSchema2} {
		request.Header.Add("Accept", string(accepted))
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if err := transport.CheckError(answer, http.StatusOK); err != nil {
		return "", err
	}
	sum := sha256.New()
	body := io.TeeReader(answer.Body, sum)
	if use != nil {
		err = use(body)
	}
	if _, rest := io.Copy(io.Discard, body); rest != nil {
		return "", rest
	}
	found := fmt.Sprintf("sha256:%x", sum.Sum(nil))
	if found == digest && err != nil {
		return found, err // the right bytes, and no tree in them
	}
	return found, nil
}

// Mount says in a word what a pod template mounts the code from: a reference,
// ConfigMaps, or "" where no volume holds it.
func Mount(t workload.Template) string {
	volumes, _ := t.Spec()["volumes"].([]any)
	for _, v := range volumes {
		if !isCodeVolume(v) {
			continue
		}
		volume, _ := v.(map[string]any)
		if ref, ok, _ := unstructured.NestedString(volume, "image", "reference"); ok {
			return ref
		}
		var names []string
		sources, _, _ := unstructured.NestedSlice(volume, "projected", "sources")
		for _, s := range sources {
			source, _ := s.(map[string]any)
			name, _, _ := unstructured.NestedString(source, "configMap", "name")
			names = append(names, "ConfigMap/"+name)
		}
		if len(names) == 0 {
			return "a volume of another kind"
		}
		return strings.Join(names, ", ")
	}
	return ""
}

// Mounted returns the tree that ConfigMaps give to a target of this package's
// making, by the items of its volume; get returns a live ConfigMap by name.
func Mounted(t workload.Target, get func(name string) (*unstructured.Unstructured, error)) (tree.Index, error) {
	volumes, _ := t.Spec()["volumes"].([]any)
	var index tree.Index
	for _, v := range volumes {
		if !isCodeVolume(v) {
			continue
		}
		sources, _, _ := unstructured.NestedSlice(v.(map[string]any), "projected", "sources")
		for _, s := range sources {
			source, _ := s.(map[string]any)
			configMap, _ := source["configMap"].(map[string]any)
			name, _ := configMap["name"].(string)
			obj, err := get(name)
			if err != nil {
				return nil, err
			}
			items, _ := configMap["items"].([]any)
			for _, i := range items {
				item, _ := i.(map[string]any)
				e, err := entryOf(obj, item)
				if err != nil {
					return nil, fmt.Errorf("ConfigMap/%s: %w", name, err)
				}
				index = append(index, e)
			}
		}
	}
	sortIndex(index)
	return index, nil
}

// entryOf reads an item of a volume.
func entryOf(obj *unstructured.Unstructured, item map[string]any) (tree.Entry, error) {
	key, _ := item["key"].(string)
	at, _ := item["path"].(string)
	content, ok, _ := unstructured.NestedString(obj.Object, "data", key)
	if !ok {
		encoded, ok, _ := unstructured.NestedString(obj.Object, "binaryData", key)
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			return tree.Entry{}, fmt.Errorf("it has no content under the key %s", key)
		}
		content = string(raw)
	}
	e := tree.Entry{Path: at, Kind: tree.File, Size: int64(len(content)), Sum: sha256.Sum256([]byte(content))}
	if mode, ok, _ := unstructured.NestedInt64(item, "mode"); ok && mode&0o100 != 0 {
		e.Kind = tree.Executable
	}
	return e, nil
}
