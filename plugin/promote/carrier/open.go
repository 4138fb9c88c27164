package carrier

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// treeIn reads the tree that a layer's archive brings below a mount path,
// hashing what is in it: the reverse of writeTar.
func treeIn(archive io.Reader, mountPath string) (tree.Index, error) {
	root := strings.TrimPrefix(path.Clean(mountPath), "/")
	if root != "" {
		root += "/"
	}
	var index tree.Index
	for t := tar.NewReader(archive); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		p, ok := strings.CutPrefix(h.Name, root)
		if !ok || h.Typeflag == tar.TypeDir || path.Base(p) == opaque {
			continue
		}
		e := tree.Entry{Path: p, Kind: tree.File, Size: h.Size}
		sum := sha256.New()
		switch h.Typeflag {
		case tar.TypeSymlink:
			e.Kind, e.Target, e.Size = tree.Link, h.Linkname, int64(len(h.Linkname))
			_, _ = io.WriteString(sum, h.Linkname)
		case tar.TypeReg:
			if h.Mode&0o100 != 0 {
				e.Kind = tree.Executable
			}
			if _, err := io.Copy(sum, t); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%s is neither a file nor a link", h.Name)
		}
		sum.Sum(e.Sum[:0])
		index = append(index, e)
	}
	sortIndex(index)
	return index, nil
}

func sortIndex(index tree.Index) {
	slices.SortFunc(index, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
}
