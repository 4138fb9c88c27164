package preflight

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Puller asks a registry whether it has an image, with the credentials of a
// keychain; nil: it has.
type Puller func(ctx context.Context, ref name.Reference, keys authn.Keychain) error

// Head asks by a HEAD request, once.
func Head(ctx context.Context, ref name.Reference, keys authn.Keychain) error {
	_, err := remote.Head(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(keys), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
	return err
}

// patience is how long a registry may take to answer. Chosen: a promotion
// waits no longer for one that cannot be reached from here.
const patience = 5 * time.Second

// pulled is what a registry said of an image.
type pulled struct {
	err error // nil: it has it
}

// used is an image and who uses it.
type used struct {
	image  string
	policy corev1.PullPolicy
	by     *podSet
}

// imagesOf lists the images of the bundle, each once a pull policy.
func imagesOf(sets []podSet) []used {
	var out []used
	note := func(u used) {
		if u.image != "" && !slices.ContainsFunc(out, func(o used) bool { return o.image == u.image && o.policy == u.policy }) {
			out = append(out, u)
		}
	}
	for i := range sets {
		p := &sets[i]
		for _, c := range p.containers() {
			note(used{c.Image, policyOf(c.Image, c.ImagePullPolicy), p})
		}
		for _, volume := range p.spec.Volumes {
			if volume.Image != nil {
				note(used{volume.Image.Reference, policyOf(volume.Image.Reference, volume.Image.PullPolicy), p})
			}
		}
	}
	return out
}

// policyOf is the API's default where a manifest says nothing: Always for the
// tag latest.
func policyOf(image string, said corev1.PullPolicy) corev1.PullPolicy {
	if said != "" {
		return said
	}
	if ref, err := name.ParseReference(image); err == nil && ref.Identifier() == "latest" {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

func (c *Check) readImages(v *view) []task {
	pull, wait := c.Pull, c.Patience
	if pull == nil {
		pull = Head
	}
	if wait == 0 {
		wait = patience
	}
	var tasks []task
	asked := map[string]bool{}
	for _, u := range imagesOf(v.pods) {
		ref, err := name.ParseReference(u.image)
		if err != nil || asked[u.image] || c.Pushed[u.image] || carried(u.image) || u.policy == corev1.PullNever {
			continue
		}
		asked[u.image] = true
		tasks = append(tasks, func(ctx context.Context) error {
			limited, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			err := pull(limited, ref, authn.DefaultKeychain)
			if denied(err) {
				if keys := c.pullSecrets(limited, u.by); len(keys) > 0 {
					err = pull(limited, ref, keys)
				}
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			v.lock(func() { v.images[u.image] = pulled{err} })
			return nil
		})
	}
	return tasks
}

func denied(err error) bool {
	var said *transport.Error
	return errors.As(err, &said) && (said.StatusCode == http.StatusUnauthorized || said.StatusCode == http.StatusForbidden)
}

// keyring is the registries of pull secrets.
type keyring map[string]authn.AuthConfig

// Resolve returns the credentials for a registry.
func (k keyring) Resolve(r authn.Resource) (authn.Authenticator, error) {
	for _, key := range []string{r.String(), r.RegistryStr()} {
		if config, ok := k[key]; ok {
			return authn.FromConfig(config), nil
		}
	}
	return authn.Anonymous, nil
}

// pullSecrets reads the pull secrets of the pods, of the bundle or of the
// cluster, as far as they may be read.
func (c *Check) pullSecrets(ctx context.Context, p *podSet) keyring {
	out := keyring{}
	for _, s := range p.spec.ImagePullSecrets {
		var secret *unstructured.Unstructured
		for _, obj := range c.Objects {
			if obj.GetKind() == "Secret" && obj.GetNamespace() == p.namespace() && obj.GetName() == s.Name {
				secret = obj
			}
		}
		if secret == nil {
			live, err := c.Client.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(p.namespace()).Get(ctx, s.Name, metav1.GetOptions{})
			if err != nil {
				continue // references says that it is missing
			}
			secret = live
		}
		out.add(secret)
	}
	return out
}

// add takes the credentials of a Secret of type kubernetes.io/dockerconfigjson.
func (k keyring) add(secret *unstructured.Unstructured) {
	raw, _, _ := unstructured.NestedString(secret.Object, "stringData", corev1.DockerConfigJsonKey)
	if raw == "" {
		coded, _, _ := unstructured.NestedString(secret.Object, "data", corev1.DockerConfigJsonKey)
		plain, err := base64.StdEncoding.DecodeString(coded)
		if err != nil {
			return
		}
		raw = string(plain)
	}
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if json.Unmarshal([]byte(raw), &config) != nil {
		return
	}
	for registry, auth := range config.Auths {
		host := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(registry, "https://"), "http://"), "/")
		host = strings.TrimSuffix(strings.TrimSuffix(host, "/v1"), "/v2")
		k[host] = auth
	}
}

// kubeletImages is how many images a kubelet reports at most
// (--node-status-max-images): above that, an image may be there unreported.
const kubeletImages = 50

// onNodes says on how many nodes an image is, and whether all nodes report
// all that they have.
func onNodes(nodes []corev1.Node, image string) (n int, sure bool) {
	want, err := name.ParseReference(image)
	if err != nil {
		return 0, false
	}
	sure = len(nodes) > 0
	for i := range nodes {
		if len(nodes[i].Status.Images) >= kubeletImages {
			sure = false
		}
		if slices.ContainsFunc(nodes[i].Status.Images, func(have corev1.ContainerImage) bool {
			return slices.ContainsFunc(have.Names, func(s string) bool {
				got, err := name.ParseReference(s)
				return err == nil && got.Name() == want.Name()
			})
		}) {
			n++
		}
	}
	return n, sure
}

// lookIntoNodes adds to what the nodes say of images that have to be there, and
// were loaded a moment ago.
func (c *Check) lookIntoNodes(ctx context.Context, v *view) {
	if c.OnNode == nil {
		return
	}
	for _, u := range imagesOf(v.pods) {
		if c.Pushed[u.image] || u.policy != corev1.PullNever && !carried(u.image) {
			continue
		}
		for i := range v.nodes {
			node := &v.nodes[i]
			if n, _ := onNodes(v.nodes[i:i+1], u.image); n == 0 && c.OnNode(ctx, node.Name, u.image) {
				node.Status.Images = append(node.Status.Images, corev1.ContainerImage{Names: []string{u.image}})
			}
		}
	}
}

// carried says that an image is one that kubectl ai brings into sandboxes under
// this name. No registry is asked for it: on Docker Hub a stranger may own it.
func carried(image string) bool {
	return strings.HasPrefix(strings.TrimPrefix(image, "docker.io/"), "kubectl-ai/")
}

// images says which images may not be pulled. This machine asks with its own
// credentials and over its own network; the nodes have theirs, and images may
// be loaded into them. So only what cannot work at all is an error.
func (c *Check) images(v *view) Report {
	var report Report
	for _, u := range imagesOf(v.pods) {
		if c.Pushed[u.image] {
			continue
		}
		if _, err := name.ParseReference(u.image); err != nil {
			report.add(CheckImages, Error, u.by.object, "mend the reference in the overlay", "image %q: %v", u.image, err)
			continue
		}
		n, sure := onNodes(v.nodes, u.image)
		where := fmt.Sprintf("it is on %d of %d nodes", n, len(v.nodes))
		if len(v.nodes) == 0 {
			where = "nobody knows whether it is on the nodes"
		}
		said, asked := v.images[u.image]
		switch {
		case carried(u.image) && len(v.nodes) > 0 && n == len(v.nodes):
		case carried(u.image):
			report.add(CheckImages, Error, u.by.object, "kubectl ai services push REGISTRY/kubectl-ai/services, then write what it prints under images: of the overlay; or take the component's production form",
				"image %s is in no registry: kubectl ai loads it into sandboxes, and %s", u.image, where)
		case u.policy == corev1.PullNever && n == 0 && sure:
			report.add(CheckImages, Error, u.by.object, "load it into the nodes, or change imagePullPolicy", "image %s is on no node, and its pull policy is Never", u.image)
		case u.policy == corev1.PullNever && n < len(v.nodes):
			report.add(CheckImages, Warning, u.by.object, "load it into the nodes, or change imagePullPolicy", "image %s is never pulled, and %s", u.image, where)
		case !asked || said.err == nil:
		case len(v.nodes) > 0 && n == len(v.nodes) && u.policy == corev1.PullIfNotPresent:
		default:
			report.add(CheckImages, Warning, u.by.object, "push it, or load it into the nodes; docker login where credentials are missing here",
				"this machine cannot see image %s in its registry (%s), and %s; nodes pull with credentials of their own", u.image, registryWords(said.err), where)
		}
	}
	return report
}

// registryWords shortens what a registry or the network said.
func registryWords(err error) string {
	var said *transport.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case errors.As(err, &said) && said.StatusCode == http.StatusNotFound:
		return "not found"
	case denied(err):
		return "access denied"
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": dial tcp"); i >= 0 {
		text = text[i+2:]
	}
	return text
}
