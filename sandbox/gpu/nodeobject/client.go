// Package nodeobject writes what a node's GPUs mean to the cluster on its Node
// object: labels, and Events. It speaks to the API server as the node's own
// kubelet, which may do both (NodeRestriction leaves labels of nvidia.com to
// it), so that nothing has to be granted.
//
// Three calls of plain HTTPS are all there is, where client-go would make the
// program that travels to every node several times as large.
package nodeobject

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// DefaultKubeconfig is that of a kubelet which kubeadm has set up.
const DefaultKubeconfig = "/etc/kubernetes/kubelet.conf"

// callLimit bounds one call.
const callLimit = 10 * time.Second

// client calls the API server of a kubeconfig. It is made anew when a call has
// failed, since a kubelet changes its certificate.
type client struct {
	server string
	http   *http.Client
}

// kubeconfig is what is read of one.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string `yaml:"server"`
			Data   string `yaml:"certificate-authority-data"`
			File   string `yaml:"certificate-authority"`
		} `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		User struct {
			CertificateData string `yaml:"client-certificate-data"`
			Certificate     string `yaml:"client-certificate"`
			KeyData         string `yaml:"client-key-data"`
			Key             string `yaml:"client-key"`
		} `yaml:"user"`
	} `yaml:"users"`
}

var errKubeconfig = errors.New("not one cluster and one user")

func open(path string) (*client, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the kubelet's kubeconfig: %w", err)
	}
	var k kubeconfig
	if err := yaml.Unmarshal(content, &k); err != nil {
		return nil, fmt.Errorf("read the kubelet's kubeconfig: %w", err)
	}
	if len(k.Clusters) != 1 || len(k.Users) != 1 {
		return nil, fmt.Errorf("read the kubelet's kubeconfig: %w", errKubeconfig)
	}
	cluster, user := k.Clusters[0].Cluster, k.Users[0].User
	authority, err1 := inline(cluster.Data, cluster.File)
	certificate, err2 := inline(user.CertificateData, user.Certificate)
	key, err3 := inline(user.KeyData, user.Key)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("read the kubelet's certificates: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("read the kubelet's certificates: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &client{cluster.Server, &http.Client{
		Timeout: callLimit,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
		},
	}}, nil
}

func inline(data, file string) ([]byte, error) {
	if data != "" {
		return base64.StdEncoding.DecodeString(data)
	}
	return os.ReadFile(file)
}

// StatusError is a call that the API server refused.
type StatusError struct {
	Code    int
	Message string
}

func (e *StatusError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// partial asks for an object's metadata alone.
const partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

func (c *client) call(ctx context.Context, method, path, contentType string, body, answer any) (err error) {
	target, err := url.JoinPath(c.server, path)
	if err != nil {
		return err
	}
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", partial+", application/json")
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		var status struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(raw, &status) // or it is no JSON, and the code says it all
		return &StatusError{response.StatusCode, status.Message}
	}
	return json.Unmarshal(raw, answer)
}
