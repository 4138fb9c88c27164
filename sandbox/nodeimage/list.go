package nodeimage

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// Image is a node image that was built on this machine.
type Image struct {
	Refs       []string
	ID         string
	Key        string
	Kubernetes string
	Created    time.Time
	SizeBytes  int64
}

// List returns the node images of the engine, newest first.
func List(ctx context.Context, e *engine.Engine) ([]Image, error) {
	out, err := e.Run(ctx, nil, "images", "--no-trunc", "-q", "--filter", "label="+LabelKey)
	if err != nil {
		return nil, fmt.Errorf("list node images: %w", err)
	}
	var ids []string
	seen := map[string]bool{}
	for _, id := range strings.Fields(string(out)) { // an image with two tags is there twice
		if !seen[id] {
			ids = append(ids, id)
		}
		seen[id] = true
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if out, err = e.Run(ctx, nil, append([]string{"image", "inspect"}, ids...)...); err != nil {
		return nil, fmt.Errorf("inspect node images: %w", err)
	}
	return parseImages(out)
}

func parseImages(out []byte) ([]Image, error) {
	var raw []struct {
		ID       string `json:"Id"`
		RepoTags []string
		Created  time.Time
		Size     int64
		Config   struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(out, &raw); err != nil {
		return nil, fmt.Errorf("inspect node images: %w", err)
	}
	images := make([]Image, len(raw))
	for i, r := range raw {
		images[i] = Image{
			Refs: r.RepoTags, ID: r.ID, Created: r.Created, SizeBytes: r.Size,
			Key: r.Config.Labels[LabelKey], Kubernetes: r.Config.Labels[LabelKubernetes],
		}
	}
	return images, nil
}
