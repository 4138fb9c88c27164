package trainer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Identity is what a server proves itself by, and by which it knows its runs.
// A server keeps it in Secret SecretName, so that a restart changes nothing.
type Identity struct {
	CA          []byte // PEM; the authority's own key is nowhere
	Certificate []byte // PEM
	PrivateKey  []byte // PEM
	Key         []byte // of tokens
}

const tokenKey = "token.key"

// validity is that of certificates. Their Secret goes with the component.
const validity = 10 * 365 * 24 * time.Hour

// NewIdentity makes one for the server of a namespace.
func NewIdentity(namespace string, now time.Time) (*Identity, error) {
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: Host(namespace) + " authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: Host(namespace)}, DNSNames: []string{Host(namespace)},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	if authority, err = x509.ParseCertificate(ca); err != nil { // with the key's ID, by which the other names it
		return nil, err
	}
	certificate, err := x509.CreateCertificate(rand.Reader, server, authority, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := &Identity{Key: make([]byte, 32)}
	_, _ = rand.Read(out.Key) // never fails
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	out.CA, out.Certificate, out.PrivateKey = encode("CERTIFICATE", ca), encode("CERTIFICATE", certificate), encode("PRIVATE KEY", private)
	return out, nil
}

// IdentityOf reads the data of a Secret.
func IdentityOf(data map[string][]byte) (*Identity, error) {
	i := &Identity{CA: data[CAFile], Certificate: data["tls.crt"], PrivateKey: data["tls.key"], Key: data[tokenKey]}
	if len(i.Key) < 16 {
		return nil, fmt.Errorf("Secret/%s has no key of tokens", SecretName)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(i.CA) {
		return nil, fmt.Errorf("Secret/%s has no certificate of an authority", SecretName)
	}
	return i, nil
}

// TLS is how a server of that identity speaks.
func (i *Identity) TLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(i.Certificate, i.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("Secret/%s: %w", SecretName, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// secret is the object that keeps it. It belongs to the ServiceAccount of the
// component, and goes with it.
func (i *Identity) secret(namespace string, owner *unstructured.Unstructured) *unstructured.Unstructured {
	data := map[string]any{}
	for name, content := range map[string][]byte{CAFile: i.CA, "tls.crt": i.Certificate, "tls.key": i.PrivateKey, tokenKey: i.Key} {
		data[name] = base64.StdEncoding.EncodeToString(content)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]any{
			"name": SecretName, "namespace": namespace,
			"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "name": owner.GetName(), "uid": string(owner.GetUID())}},
		},
		"data": data,
	}}
}

// Load returns the identity of a namespace's server, and makes one the first
// time.
func Load(ctx context.Context, client dynamic.Interface, namespace string, now time.Time) (*Identity, error) {
	resource := func(name string) dynamic.ResourceInterface {
		return client.Resource(schema.GroupVersionResource{Version: "v1", Resource: name}).Namespace(namespace)
	}
	for {
		object, err := resource("secrets").Get(ctx, SecretName, metav1.GetOptions{})
		if err == nil {
			return decode(object)
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read Secret/%s: %w", SecretName, err)
		}
		owner, err := resource("serviceaccounts").Get(ctx, Component, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read ServiceAccount/%s: %w", Component, err)
		}
		made, err := NewIdentity(namespace, now)
		if err != nil {
			return nil, fmt.Errorf("make certificates: %w", err)
		}
		_, err = resource("secrets").Create(ctx, made.secret(namespace, owner), metav1.CreateOptions{FieldManager: Component})
		switch {
		case err == nil:
			return made, nil
		case !apierrors.IsAlreadyExists(err): // another server was faster: its own
			return nil, fmt.Errorf("write Secret/%s: %w", SecretName, err)
		}
	}
}

func decode(secret *unstructured.Unstructured) (*Identity, error) {
	encoded, _, err := unstructured.NestedStringMap(secret.Object, "data")
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{}
	var errs []error
	for name, text := range encoded {
		content, err := base64.StdEncoding.DecodeString(text)
		data[name], errs = content, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("Secret/%s: %w", SecretName, err)
	}
	return IdentityOf(data)
}
