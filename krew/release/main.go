// release makes the archives of a version for every platform and the krew
// manifest that installs them. Two runs over one tree give the same bytes:
// builds are trimmed, archives are sorted and carry no times.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	version := flag.String("version", "v0.0.0-dev", "semantic version with a leading v")
	out := flag.String("out", "dist", "folder for the archives")
	base := flag.String("base-url", "https://github.com/kubectl-ai/kubectl-ai/releases/download", "where the archives will be downloaded from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := release(ctx, *version, *out, *base); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// Platform is one target of a release.
type Platform struct{ OS, Arch string }

// Platforms are those that krew users have.
var Platforms = []Platform{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"windows", "amd64"},
	{"windows", "arm64"},
}

// Binary is the program's name inside an archive.
func (p Platform) Binary() string {
	if p.OS == "windows" {
		return "kubectl-ai.exe"
	}
	return "kubectl-ai"
}

// Archive is the archive's file name; krew knows .zip and .tar.gz.
func (p Platform) Archive() string {
	ext := "tar.gz"
	if p.OS == "windows" {
		ext = "zip"
	}
	return fmt.Sprintf("kubectl-ai_%s_%s.%s", p.OS, p.Arch, ext)
}

func release(ctx context.Context, version, out, base string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return err
	}
	sums := map[Platform]string{}
	var list strings.Builder
	for _, p := range Platforms {
		binary, err := build(ctx, p, version, out)
		if err != nil {
			return fmt.Errorf("build for %s/%s: %w", p.OS, p.Arch, err)
		}
		files := []file{{"LICENSE", 0o644, license}, {p.Binary(), 0o755, binary}}
		if p.OS != "windows" {
			files = append(files, file{"kubectl_complete-ai", 0o755, []byte("#!/bin/sh\nexec kubectl ai __complete \"$@\"\n")})
		}
		archive, err := pack(p, files)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, p.Archive()), archive, 0o644); err != nil {
			return err
		}
		sums[p] = fmt.Sprintf("%x", sha256.Sum256(archive))
		fmt.Fprintf(&list, "%s  %s\n", sums[p], p.Archive())
	}
	if err := os.WriteFile(filepath.Join(out, "checksums.txt"), []byte(list.String()), 0o644); err != nil {
		return err
	}
	manifest, err := Manifest(version, base, sums)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join("krew", "plugins", "ai.yaml"), manifest, 0o644); err != nil {
		return err
	}
	fmt.Print(list.String())
	return nil
}

func build(ctx context.Context, p Platform, version, out string) ([]byte, error) {
	path := filepath.Join(out, "."+p.OS+"-"+p.Arch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", path, "./cmd/kubectl-ai")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Arch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(path) }()
	return os.ReadFile(path)
}

type file struct {
	name    string
	mode    os.FileMode
	content []byte
}

// packed is the time of every file in an archive: the first day that zip can
// express.
var packed = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func pack(p Platform, files []file) ([]byte, error) {
	var buf bytes.Buffer
	if strings.HasSuffix(p.Archive(), ".zip") {
		w := zip.NewWriter(&buf)
		for _, f := range files {
			header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: packed}
			header.SetMode(f.mode)
			entry, err := w.CreateHeader(header)
			if err != nil {
				return nil, err
			}
			if _, err := entry.Write(f.content); err != nil {
				return nil, err
			}
		}
		err := w.Close()
		return buf.Bytes(), err
	}
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zw)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: packed, Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, bytes.NewReader(f.content)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	err = zw.Close()
	return buf.Bytes(), err
}
