package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"time"

	"github.com/kubectl-ai/kubectl-ai/krew/manifest"
)

// program is its name inside an archive.
func program(t manifest.Target) string {
	if t.OS == "windows" {
		return "kubectl-ai.exe"
	}
	return "kubectl-ai"
}

// archiveName is an archive's file name; krew knows .zip and .tar.gz.
func archiveName(t manifest.Target) string {
	extension := "tar.gz"
	if t.OS == "windows" {
		extension = "zip"
	}
	return fmt.Sprintf("kubectl-ai_%s_%s.%s", t.OS, t.Arch, extension)
}

// packed is the time of every file in an archive: the first day that zip can
// express.
var packed = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// pack puts files into an archive as the target's users expect it.
func pack(t manifest.Target, files []manifest.File) ([]byte, error) {
	if t.OS == "windows" {
		return packZip(files)
	}
	var out bytes.Buffer
	compress, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(compress)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.Name, Mode: int64(f.Mode), Size: int64(len(f.Content)), ModTime: packed, Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	err = compress.Close()
	return out.Bytes(), err
}

func packZip(files []manifest.File) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: packed}
		header.SetMode(f.Mode)
		entry, err := w.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write(f.Content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}
