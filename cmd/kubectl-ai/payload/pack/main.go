// pack puts files into an archive that the kubectl-ai binary carries. The same
// files in the same order give the same bytes. What is asked for
// often, or is small, goes first: a reader stops where it has found it.
//
// usage: pack ARCHIVE FILE...
package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// window is how far back equal bytes are found: far enough for two builds of
// ai-gpu beside each other. A reader needs as much memory.
const window = 32 << 20

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: pack ARCHIVE FILE...")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(to string, files []string) (err error) {
	unfinished := to + ".new"
	file, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(unfinished))
		}
	}()
	// One at a time: how work is shared among processors would show in the bytes.
	compress, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compress)
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: filepath.Base(name), Mode: 0o755, Size: int64(len(content)), Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), compress.Close()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(unfinished, to)
}
