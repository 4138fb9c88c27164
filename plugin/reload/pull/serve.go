//go:build linux

package pull

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
)

// Serve lists what programs wrote on the volume mounted at dir and sends what
// is asked for. It runs in the rank.
func Serve(dir string, in io.Reader, out io.Writer) error {
	outputs, err := generation.Outputs(dir)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 64<<10)
	_, _ = fmt.Fprintln(w, magic)
	encoder := json.NewEncoder(w)
	for _, o := range outputs {
		if err := encoder.Encode(listed{o.Path, o.Size, o.Time, o.Target}); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	t := tar.NewWriter(w)
	wanted := bufio.NewScanner(in)
	for wanted.Scan() {
		line := strings.TrimSpace(wanted.Text())
		if line == "" {
			return errors.Join(t.Close(), w.Flush())
		}
		n, err := strconv.Atoi(line)
		if err != nil || n < 0 || n >= len(outputs) {
			return fmt.Errorf("no output has the number %q", line)
		}
		if err := send(t, root, outputs[n]); err != nil {
			return err
		}
	}
	if err := wanted.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF // the other side went
}

// send writes one file as it is now. What cannot be read, or moves while it
// is, is sent without a digest.
func send(t *tar.Writer, root *os.Root, o generation.Output) error {
	if o.Target != "" {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: o.Path, Linkname: o.Target, ModTime: o.Time, Format: tar.FormatPAX})
	}
	f, err := root.Open(o.At)
	if err != nil {
		return trail(t, o.Path, "")
	}
	defer func() { _ = f.Close() }()
	before, err := f.Stat()
	if err != nil || !before.Mode().IsRegular() {
		return trail(t, o.Path, "")
	}
	if err := t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: o.Path, Size: before.Size(), Mode: int64(before.Mode() & fs.ModePerm), ModTime: before.ModTime(), Format: tar.FormatPAX,
	}); err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.CopyN(io.MultiWriter(t, h), f, before.Size())
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if _, err := io.CopyN(t, zeros{}, before.Size()-n); err != nil { // it has become shorter
		return err
	}
	after, err := f.Stat()
	if err != nil || n < before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		sum = ""
	}
	return trail(t, o.Path, sum)
}

func trail(t *tar.Writer, path, sum string) error {
	records := map[string]string{trailerRecord: path}
	if sum != "" {
		records[sumRecord] = sum
	}
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: records, Format: tar.FormatPAX})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
