package manifest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// File is a regular file of an archive.
type File struct {
	Name    string // slashes, relative
	Mode    os.FileMode
	Content []byte
}

// license is what krew-index looks for, in any folder.
var license = regexp.MustCompile(`(?i)^(license|copying)(\.[a-z]+)?$`)

// CheckArchive checks by the rules that need a platform's archive.
func CheckArchive(p Platform, archive []byte) error {
	c := &checker{}
	where := path.Base(p.URI)
	got := fmt.Sprintf("%x", sha256.Sum256(archive))
	c.rule(got == p.SHA256, Sum, where, "the archive's is %s, the manifest says %s", got, p.SHA256)
	files, err := Unpack(p, archive)
	if err != nil {
		c.rule(false, Unpacks, where, "%v", err)
		return errors.Join(c.broken...)
	}
	var licensed, there bool
	for _, f := range files {
		licensed = licensed || license.MatchString(path.Base(f.Name))
		there = there || path.Clean(f.Name) == path.Clean(p.Bin)
	}
	c.rule(licensed, License, where, "no LICENSE and no COPYING is installed")
	c.rule(there, BinThere, where, "%q is not installed", p.Bin)
	return errors.Join(c.broken...)
}

// Unpack returns what an install of the platform puts into the plugin's
// folder: the archive's files, or those that the platform's list moves.
func Unpack(p Platform, archive []byte) ([]File, error) {
	read := untar
	if strings.HasSuffix(p.URI, ".zip") {
		read = unzip
	}
	files, err := read(archive)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !inside(f.Name) {
			return nil, fmt.Errorf("%q leaves the folder", f.Name)
		}
	}
	if p.Files == nil {
		return files, nil
	}
	var moved []File
	for _, op := range p.Files {
		found := false
		for _, f := range files {
			if ok, err := path.Match(path.Clean(op.From), path.Clean(f.Name)); err != nil {
				return nil, fmt.Errorf("%q: %w", op.From, err)
			} else if ok {
				found = true
				f.Name = path.Join(op.To, path.Base(f.Name))
				moved = append(moved, f)
			}
		}
		if !found {
			return nil, fmt.Errorf("nothing in the archive is %q", op.From)
		}
	}
	return moved, nil
}

func untar(archive []byte) ([]File, error) {
	stream, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	var files []File
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue // krew takes folders as they are named by files, and no links
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files = append(files, File{h.Name, h.FileInfo().Mode().Perm(), content})
	}
}

func unzip(archive []byte) ([]File, error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	var files []File
	for _, f := range r.File {
		if f.FileInfo().IsDir() {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return nil, err
		}
		all, err := io.ReadAll(content)
		if err = errors.Join(err, content.Close()); err != nil {
			return nil, err
		}
		files = append(files, File{f.Name, f.Mode().Perm(), all})
	}
	return files, nil
}

// Install does what krew does on a system: it puts the platform's files into
// ROOT/store/NAME/VERSION and a link to the program, and to nothing else, into
// ROOT/bin, which is on PATH. The archives lie in a folder. It returns the link.
func (p *Plugin) Install(root string, on Target, archives string) (string, error) {
	for _, platform := range p.Spec.Platforms {
		matched, err := platform.Matches()
		if err != nil {
			return "", err
		}
		for _, t := range matched {
			if t == on {
				archive, err := os.ReadFile(filepath.Join(archives, path.Base(platform.URI)))
				if err != nil {
					return "", err
				}
				return p.install(root, platform, archive)
			}
		}
	}
	return "", fmt.Errorf("no platform of the manifest is %s", on)
}

func (p *Plugin) install(root string, platform Platform, archive []byte) (string, error) {
	if err := CheckArchive(platform, archive); err != nil {
		return "", err
	}
	files, err := Unpack(platform, archive)
	if err != nil {
		return "", err
	}
	store := filepath.Join(root, "store", p.Metadata.Name, p.Spec.Version)
	for _, f := range files {
		to := filepath.Join(store, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(to, f.Content, f.Mode); err != nil {
			return "", err
		}
	}
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	link := filepath.Join(bin, p.Program(filepath.Ext(platform.Bin)))
	return link, os.Symlink(filepath.Join(store, filepath.FromSlash(platform.Bin)), link)
}

// Program is the name under which krew puts the plugin on PATH.
func (p *Plugin) Program(extension string) string {
	if extension != ".exe" {
		extension = ""
	}
	return "kubectl-" + strings.ReplaceAll(p.Metadata.Name, "-", "_") + extension
}
