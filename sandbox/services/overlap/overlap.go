// Package overlap refuses a data set whose splits share samples: a model that
// saw in training what it is judged by is judged too well.
//
// It reads the manifests that preparing the data left beside it,
// manifest/SPLIT-SHARD.sha256, with the hex SHA-256 of one sample a line.
package overlap

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Source is where the manifests are.
type Source interface {
	// List returns the keys that begin with a prefix.
	List(ctx context.Context, prefix string) ([]string, error)
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

const (
	prefix = "manifest/"
	suffix = ".sha256"
	// shown is how many of the shared samples are named. Chosen.
	shown = 5
)

// ErrNothingToCompare says that there are no manifests of two splits, so that
// nothing is known of the data.
var ErrNothingToCompare = errors.New("no manifests of two splits")

// ManifestError says that a manifest has a line that is no SHA-256.
type ManifestError struct {
	Key  string
	Line int
	Text string
}

func (e *ManifestError) Error() string {
	return fmt.Sprintf("%s:%d: %q is no SHA-256 in hex", e.Key, e.Line, e.Text)
}

// SharedError says that samples are in more than one split.
type SharedError struct{ Report }

func (e *SharedError) Error() string {
	return fmt.Sprintf("%d samples are in two splits (%s), such as %s", e.Shared, strings.Join(e.In, ", "), e.First[0])
}

// Report is what was found.
type Report struct {
	Samples map[string]int `json:"samples"` // by split
	Shared  int            `json:"overlap"`
	In      []string       `json:"splits,omitempty"` // that share some, sorted
	First   []string       `json:"first,omitempty"`  // a few of the shared, the lowest
}

// Check compares the manifests. It returns a *SharedError with the report when
// a sample is in more than one split, a *ManifestError for a line that is no
// hash, and ErrNothingToCompare.
func Check(ctx context.Context, source Source) (Report, error) {
	keys, err := source.List(ctx, prefix)
	if err != nil {
		return Report{}, fmt.Errorf("list the manifests: %w", err)
	}
	report := Report{Samples: map[string]int{}}
	in := map[[sha256.Size]byte]string{} // which split has a sample
	var shared [][sha256.Size]byte
	sharing := map[string]bool{}
	twice := map[[sha256.Size]byte]bool{}
	slices.Sort(keys)
	for _, key := range keys {
		split, ok := splitOf(key)
		if !ok {
			continue
		}
		report.Samples[split] += 0 // an empty one is one too
		err := read(ctx, source, key, func(sample [sha256.Size]byte) {
			other, seen := in[sample]
			switch {
			case !seen:
				in[sample] = split
				report.Samples[split]++
			case other != split && !twice[sample]:
				twice[sample] = true
				shared = append(shared, sample)
				sharing[split], sharing[other] = true, true
			}
		})
		if err != nil {
			return Report{}, err
		}
	}
	if len(report.Samples) < 2 {
		return report, ErrNothingToCompare
	}
	if len(shared) == 0 {
		return report, nil
	}
	slices.SortFunc(shared, func(a, b [sha256.Size]byte) int { return slices.Compare(a[:], b[:]) })
	report.Shared = len(shared)
	for split := range sharing {
		report.In = append(report.In, split)
	}
	slices.Sort(report.In)
	for _, sample := range shared[:min(shown, len(shared))] {
		report.First = append(report.First, hex.EncodeToString(sample[:]))
	}
	return report, &SharedError{report}
}

// splitOf returns the split that a key is a shard of; false for another file.
func splitOf(key string) (string, bool) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(key, prefix), suffix)
	at := strings.LastIndexByte(name, '-')
	if !ok || at < 1 || path.Base(name) != name {
		return "", false
	}
	if _, err := strconv.ParseUint(name[at+1:], 10, 32); err != nil {
		return "", false
	}
	return name[:at], true
}

func read(ctx context.Context, source Source, key string, found func([sha256.Size]byte)) error {
	file, err := source.Open(ctx, key)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		sample, err := hex.DecodeString(text)
		if err != nil || len(sample) != sha256.Size {
			return &ManifestError{Key: key, Line: n, Text: text[:min(len(text), 80)]}
		}
		found([sha256.Size]byte(sample))
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}
