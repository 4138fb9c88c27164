package report

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/klauspost/compress/gzip"
)

// ExistsError says that there is a file where the report was to be written.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string { return e.Path + " is there already, and is left as it is" }

// FileName is how a report is called unless somebody says otherwise.
func FileName(now time.Time) string {
	return "kubectl-ai-report-" + now.UTC().Format("20060102T150405Z") + ".tar.gz"
}

// Write writes the archive: a folder with README.txt, manifest.json and the
// files.
func (r *Report) Write(w io.Writer, m Manifest) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	root := strings.TrimSuffix(FileName(m.Created), ".tar.gz")
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	files := append([]File{{Name: "README.txt", content: m.readme()}, {Name: "manifest.json", content: string(raw) + "\n"}}, r.Files...)
	for _, f := range files {
		err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(root, f.Name), Mode: 0o600, Size: int64(len(f.content)), ModTime: m.Created.Truncate(time.Second)})
		if err == nil {
			_, err = io.WriteString(t, f.content)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", f.Name, err)
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// Save writes a file that only its owner may read, whole or not at all. One
// that is there already is an *ExistsError.
func Save(file string, write func(io.Writer) error) (err error) {
	if err := Absent(file); err != nil {
		return err
	}
	made, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() {
		if removeErr := os.Remove(made.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}()
	if err := errors.Join(write(made), made.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	// A link does not replace what came meanwhile, as a rename would. Some file
	// systems have none.
	if err := os.Link(made.Name(), file); err == nil || errors.Is(err, fs.ErrExist) {
		return exists(file, err)
	}
	if err := Absent(file); err != nil {
		return err
	}
	if err := os.Rename(made.Name(), file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// Absent returns an *ExistsError where something is at that path.
func Absent(file string) error {
	if _, err := os.Lstat(file); err == nil {
		return &ExistsError{Path: file}
	}
	return nil
}

func exists(file string, err error) error {
	if err != nil {
		return &ExistsError{Path: file}
	}
	return nil
}

// readme tells people what the manifest tells programs.
func (m Manifest) readme() string {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("Support report of kubectl-ai %s, made %s", m.Version, m.Created.UTC().Format(time.RFC3339))
	line("Context %s, namespace %s%s", m.Context, m.Namespace, map[bool]string{true: ", run " + m.Run}[m.Run != ""])
	line("\nSecrets were looked for and masked: equal values have equal masks, such as <masked:1a2b3c4d>,")
	line("within this report alone. Nobody can know every form of a secret: read it before you hand it on.")
	line("\nMasked:")
	for _, rule := range slices.Sorted(maps.Keys(m.Masked)) {
		line("  %5d  %s", m.Masked[rule], rule)
	}
	line("\nNot collected:")
	for _, missing := range m.Missing {
		line("  %s: %s", missing.Part, strings.ReplaceAll(missing.Reason, "\n", "\n    "))
	}
	if len(m.Missing) == 0 {
		line("  nothing")
	}
	line("\nFiles:")
	_ = m.Table(&b)
	return b.String()
}

// Table lists the files and their sizes in bytes.
func (m Manifest) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "FILE\tBYTES\tNOTE")
	for _, f := range m.Files {
		note := "-"
		if f.Cut {
			note = "cut"
		}
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\n", f.Name, f.Bytes, note)
	}
	return t.Flush()
}
