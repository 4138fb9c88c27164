package overlap

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Folder is a source on disk, with the layout of a bucket.
type Folder string

// List implements Source.
func (f Folder) List(_ context.Context, prefix string) ([]string, error) {
	var keys []string
	err := fs.WalkDir(os.DirFS(string(f)), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if strings.HasPrefix(name, prefix) {
			keys = append(keys, name)
		}
		return nil
	})
	return keys, err
}

// Open implements Source.
func (f Folder) Open(_ context.Context, key string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(f), filepath.FromSlash(key)))
}

// Bucket is a source behind the S3 API, addressed by path.
type Bucket struct {
	name   string
	client *s3.Client
}

// ErrNoBucket says that neither a folder nor a bucket is named.
var ErrNoBucket = errors.New("want BUCKET_HOST, BUCKET_NAME, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a folder")

// NewBucket returns a bucket at an endpoint such as http://storage:9000. An
// empty region is us-east-1, which servers without regions take.
func NewBucket(endpoint, name, region, keyID, secret string) Bucket {
	if region == "" {
		region = "us-east-1"
	}
	return Bucket{name: name, client: s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: region,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	})}
}

// List implements Source.
func (b Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Contents {
			keys = append(keys, aws.ToString(object.Key))
		}
	}
	return keys, nil
}

// Open implements Source.
func (b Bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}
