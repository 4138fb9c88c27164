package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Read returns the regular files and symbolic links of a packed layer that
// want accepts, by path. A hard link has the content of the file it is.
func Read(name string, want func(path string) bool) (map[string]Entry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	defer func() { _ = f.Close() }()
	found := map[string]Entry{}
	archive := tar.NewReader(f)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read layer %s: %w", name, err)
		}
		path := strings.Trim(h.Name, "/")
		if !want(path) {
			continue
		}
		e := Entry{Path: path, Mode: h.FileInfo().Mode()}
		switch h.Typeflag {
		case tar.TypeReg:
			if e.Content, err = io.ReadAll(archive); err != nil {
				return nil, fmt.Errorf("read layer %s: %w", name, err)
			}
		case tar.TypeLink:
			first, ok := found[h.Linkname]
			if !ok {
				continue
			}
			e.Content = first.Content
		case tar.TypeSymlink:
			e.Mode, e.Target = fs.ModeSymlink|0o777, h.Linkname
		default:
			continue
		}
		found[path] = e
	}
}
