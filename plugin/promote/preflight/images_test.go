package preflight

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func pullsAll(context.Context, name.Reference, authn.Keychain) error { return nil }

func forbidden(n need) error {
	return apierrors.NewForbidden(schema.GroupResource{Group: n.group, Resource: n.resource}, n.name, errors.New("no"))
}

func nodeWith(images ...string) corev1.Node {
	n := node("a", 0, nil)
	for _, i := range images {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{i}})
	}
	return n
}

func TestImages(t *testing.T) {
	missing := &transport.Error{StatusCode: http.StatusNotFound}
	const loaded = "docker.io/library/python:3.11-slim"
	full := nodeWith()
	for i := range kubeletImages {
		full.Status.Images = append(full.Status.Images, corev1.ContainerImage{Names: []string{fmt.Sprintf("x.io/i:%d", i)}})
	}
	for _, c := range []struct {
		name, image, policy string
		err                 error
		nodes               []corev1.Node
		pushed              bool
		want                []string
	}{
		{name: "the registry has it", image: "python:3.11-slim"},
		{name: "on all nodes, and no registry", image: "python:3.11-slim", err: context.DeadlineExceeded, nodes: []corev1.Node{nodeWith(loaded), nodeWith(loaded)}},
		{name: "on some nodes", image: "python:3.11-slim", err: context.DeadlineExceeded, nodes: []corev1.Node{nodeWith(loaded), nodeWith()}, want: []string{"warning this machine cannot see image python:3.11-slim in its registry (no answer), and it is on 1 of 2 nodes"}},
		{name: "on all nodes, and always pulled", image: "python:3.11-slim", policy: "Always", err: missing, nodes: []corev1.Node{nodeWith(loaded)}, want: []string{"warning (not found), and it is on 1 of 1 nodes"}},
		{name: "nowhere", image: "python:3.11-slim", err: missing, nodes: []corev1.Node{nodeWith()}, want: []string{"warning not found"}},
		{name: "never pulled and on no node", image: "python:3.11-slim", policy: "Never", nodes: []corev1.Node{nodeWith()}, want: []string{"error is on no node, and its pull policy is Never"}},
		{name: "never pulled, and the node says not all it has", image: "python:3.11-slim", policy: "Never", nodes: []corev1.Node{full}, want: []string{"warning is never pulled, and it is on 0 of 1 nodes"}},
		{name: "never pulled and there", image: "python:3.11-slim", policy: "Never", nodes: []corev1.Node{nodeWith(loaded)}},
		{name: "pushed by this promotion", image: "python:3.11-slim", err: missing, pushed: true},
		{name: "carried by kubectl ai and on no node", image: "kubectl-ai/services:local", nodes: []corev1.Node{nodeWith()}, want: []string{"error image kubectl-ai/services:local is in no registry: kubectl ai loads it into sandboxes, and it is on 0 of 1 nodes"}},
		{name: "carried by kubectl ai, and nobody sees the nodes", image: "docker.io/kubectl-ai/services:local", policy: "Never", want: []string{"error is in no registry"}},
		{name: "carried by kubectl ai and loaded", image: "kubectl-ai/services:local", policy: "Never", nodes: []corev1.Node{nodeWith("docker.io/kubectl-ai/services:local")}},
		{name: "pushed by a user", image: "registry.example/kubectl-ai/services:v1"},
		{name: "no reference", image: "Python:", want: []string{"error image \"Python:\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			container := ""
			if c.policy != "" {
				container = ", imagePullPolicy: " + c.policy
			}
			check, v := seen(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: "`+c.image+`"`+container+`}]}}}}`)
			asked := false
			check.Pull = func(context.Context, name.Reference, authn.Keychain) error { asked = true; return c.err }
			if c.pushed {
				check.Pushed = map[string]bool{c.image: true}
			}
			if err := check.all(t.Context(), check.readImages(v)); err != nil {
				t.Fatal(err)
			}
			v.nodes = c.nodes
			expect(t, check.images(v), c.want...)
			if asked && (c.pushed || c.policy == "Never" || carried(c.image)) {
				t.Error("a registry was asked in vain")
			}
		})
	}
}

func TestAnImageThatWasLoadedAMomentAgoIsThere(t *testing.T) {
	check, v := seen(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: "kubectl-ai/services:local"}, {name: d, image: "python:3.11-slim", imagePullPolicy: Never}]}}}}`)
	v.nodes = []corev1.Node{nodeWith("docker.io/kubectl-ai/services:local"), nodeWith()}
	v.nodes[1].Name = "late"
	var asked []string
	check.OnNode = func(_ context.Context, node, image string) bool {
		asked = append(asked, node+" "+image)
		return node == "late"
	}
	check.lookIntoNodes(t.Context(), v)
	expect(t, check.images(v), "warning image python:3.11-slim is never pulled, and it is on 1 of 2 nodes")
	if want := []string{"late kubectl-ai/services:local", "a python:3.11-slim", "late python:3.11-slim"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

func TestPullSecretsAreUsedWhereTheKeychainIsRefused(t *testing.T) {
	config := base64.StdEncoding.EncodeToString([]byte(`{"auths": {"https://registry.example.com/v1/": {"username": "u", "password": "p"}}}`))
	check, v := seen(t,
		`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {imagePullSecrets: [{name: reg}], containers: [{name: c, image: registry.example.com/a/b:1}]}}}}`,
		`{apiVersion: v1, kind: Secret, metadata: {name: reg}, type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: `+config+`}}`)
	check.Pull = func(_ context.Context, ref name.Reference, keys authn.Keychain) error {
		a, err := keys.Resolve(ref.Context())
		if err != nil {
			return err
		}
		got, err := a.Authorization()
		if err != nil {
			return err
		}
		if got.Username != "u" || got.Password != "p" {
			return &transport.Error{StatusCode: http.StatusUnauthorized}
		}
		return nil
	}
	if err := check.all(t.Context(), check.readImages(v)); err != nil {
		t.Fatal(err)
	}
	expect(t, check.images(v))
}
