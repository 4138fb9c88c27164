package exporter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

// File is one reference in a file, taken for every model.
type File string

// Current implements Source.
func (f File) Current(context.Context) (string, error) { return "", nil }

// Reference implements Source.
func (f File) Reference(context.Context, string) (*drift.Reference, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return drift.ReadReference(file)
}

// Bucket is an S3 bucket, addressed by path, where training leaves
// models/<digest>/reference.json and, in models/current, the digest of the
// model that it made last.
type Bucket struct {
	Endpoint  string // http://storage:9000
	Name      string
	Region    string // signatures name one; "" is us-east-1, which servers without regions take
	AccessKey string
	SecretKey string
	Client    *http.Client // nil: one that waits 10 s
}

// ObjectError says that a bucket did not give an object.
type ObjectError struct {
	Bucket, Key string
	Code        int // of HTTP
}

func (e *ObjectError) Error() string {
	return fmt.Sprintf("get %s of bucket %s: %s", e.Key, e.Bucket, http.StatusText(e.Code))
}

// digestForm is a digest as models have it, with its algorithm or without.
var digestForm = regexp.MustCompile(`^(sha256:)?[0-9a-f]{6,64}$`)

// ErrNoModel says that neither the served model nor the bucket names a digest.
var ErrNoModel = errors.New("no model is named, neither by the served model (model_info) nor by the bucket (models/current)")

// Current implements Source.
func (b *Bucket) Current(ctx context.Context) (string, error) {
	body, err := b.get(ctx, "models/current")
	if missing := (*ObjectError)(nil); errors.As(err, &missing) && missing.Code == http.StatusNotFound {
		return "", ErrNoModel
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	content, err := io.ReadAll(io.LimitReader(body, 1<<10))
	return strings.TrimSpace(string(content)), err
}

// Reference implements Source.
func (b *Bucket) Reference(ctx context.Context, model string) (*drift.Reference, error) {
	if !digestForm.MatchString(model) {
		return nil, fmt.Errorf("%q is no digest of a model", model)
	}
	body, err := b.get(ctx, "models/"+strings.TrimPrefix(model, "sha256:")+"/reference.json")
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return drift.ReadReference(body)
}

// Model returns the bytes of a model, which are what its digest says.
func (b *Bucket) Model(ctx context.Context, digest string) ([]byte, error) {
	if !digestForm.MatchString(digest) {
		return nil, fmt.Errorf("%q is no digest of a model", digest)
	}
	hexadecimal := strings.TrimPrefix(digest, "sha256:")
	body, err := b.get(ctx, "models/"+hexadecimal+"/model.json")
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read model %s: %w", digest, err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != hexadecimal {
		return nil, fmt.Errorf("bucket %s holds something else under the name of model %s", b.Name, digest)
	}
	return content, nil
}

var emptyPayload = hex.EncodeToString(sha256.New().Sum(nil))

func (b *Bucket) get(ctx context.Context, key string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(b.Endpoint, "/")+"/"+b.Name+"/"+key, nil)
	if err != nil {
		return nil, err
	}
	region := b.Region
	if region == "" {
		region = "us-east-1"
	}
	request.Header.Set("X-Amz-Content-Sha256", emptyPayload)
	credentials := aws.Credentials{AccessKeyID: b.AccessKey, SecretAccessKey: b.SecretKey}
	// S3 signs paths as they are sent.
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(ctx, credentials, request, emptyPayload, "s3", region, time.Now()); err != nil {
		return nil, err
	}
	client := b.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, &ObjectError{b.Name, key, answer.StatusCode}
	}
	return answer.Body, nil
}
