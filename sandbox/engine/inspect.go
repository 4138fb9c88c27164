package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Container is what the engine knows of one container.
type Container struct {
	ID      string
	Name    string
	Labels  map[string]string
	Image   string // the reference it was made from
	Running bool
	Created time.Time
	Started time.Time // zero: never
	Address string    // IPv4 in the given network, "" while stopped
}

// Containers returns the containers, running or not, that carry a label
// ("key" or "key=value"), with their addresses in a network.
func (e *Engine) Containers(ctx context.Context, label, network string) ([]Container, error) {
	out, err := e.Run(ctx, nil, "ps", "-a", "--filter", "label="+label, "--format", "{{.Names}}")
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return e.Inspect(ctx, network, strings.Fields(string(out))...)
}

// Inspect returns the named containers. One that vanished meanwhile is left
// out.
func (e *Engine) Inspect(ctx context.Context, network string, names ...string) ([]Container, error) {
	if len(names) == 0 {
		return nil, nil
	}
	out, err := e.Run(ctx, nil, append([]string{"container", "inspect"}, names...)...)
	var failed *CommandError
	// With one name missing the others are still printed.
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	containers, err := parseContainers(out, network)
	if err != nil {
		return nil, fmt.Errorf("inspect containers: %w", err)
	}
	return containers, nil
}

func parseContainers(out []byte, network string) ([]Container, error) {
	var raw []struct {
		ID      string `json:"Id"`
		Name    string
		Created time.Time
		State   struct {
			Running   bool
			StartedAt time.Time
		}
		Config struct {
			Image  string
			Labels map[string]string
		}
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(out, &raw); err != nil {
		return nil, err
	}
	containers := make([]Container, len(raw))
	for i, r := range raw {
		containers[i] = Container{
			ID:      r.ID,
			Name:    strings.TrimPrefix(r.Name, "/"),
			Labels:  r.Config.Labels,
			Image:   r.Config.Image,
			Running: r.State.Running,
			Created: r.Created,
			Started: r.State.StartedAt,
			Address: r.NetworkSettings.Networks[network].IPAddress,
		}
	}
	return containers, nil
}

// ImageID returns the ID of an image in the engine, "" when it is not there.
func (e *Engine) ImageID(ctx context.Context, ref string) (string, error) {
	out, err := e.Run(ctx, nil, "image", "inspect", "--format", "{{.Id}}", ref)
	var failed *CommandError
	if errors.As(err, &failed) {
		return "", nil // there is no other answer for a name that is unknown
	}
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(out))
	if id != "" && !strings.HasPrefix(id, "sha256:") { // podman prints bare hex
		id = "sha256:" + id
	}
	return id, nil
}

// Images returns the references of a repository's images, newest first.
func (e *Engine) Images(ctx context.Context, repository string) ([]string, error) {
	out, err := e.Run(ctx, nil, "images", "--filter", "reference="+repository, "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// ReadFile returns a file of a container, which need not be running. A
// missing file is an *CommandError.
func (e *Engine) ReadFile(ctx context.Context, container, name string) ([]byte, error) {
	out, err := e.Run(ctx, nil, "cp", container+":"+name, "-")
	if err != nil {
		return nil, err
	}
	archive := tar.NewReader(bytes.NewReader(out))
	if _, err := archive.Next(); err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, container, err)
	}
	return io.ReadAll(archive)
}

// WriteFile writes a file into a container, which need not be running. Its
// folder is made when missing.
func (e *Engine) WriteFile(ctx context.Context, container, name string, content []byte) error {
	var buf bytes.Buffer
	archive := tar.NewWriter(&buf)
	dir, file := path.Split(path.Clean(name))
	headers := []*tar.Header{
		{Typeflag: tar.TypeDir, Name: strings.Trim(dir, "/") + "/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: strings.Trim(dir, "/") + "/" + file, Mode: 0o644, Size: int64(len(content))},
	}
	for _, h := range headers {
		if err := archive.WriteHeader(h); err != nil {
			return fmt.Errorf("write %s of %s: %w", name, container, err)
		}
	}
	if _, err := archive.Write(content); err != nil {
		return fmt.Errorf("write %s of %s: %w", name, container, err)
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write %s of %s: %w", name, container, err)
	}
	_, err := e.Run(ctx, &buf, "cp", "-", container+":/")
	return err
}
