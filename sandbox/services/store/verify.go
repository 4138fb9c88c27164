package store

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Verify hashes every object and prints one line each, as sha256sum -c does:
// BUCKET/KEY: OK or FAILED. It returns *DamagedError for the first that is
// not what was stored. It reads the folder of a store that may be running.
func Verify(dir string, out io.Writer) error {
	s := &Store{dir: dir, buckets: map[string]*bucket{}}
	names, err := bucketNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := s.readRecords(name)
		if err != nil {
			return fmt.Errorf("read bucket %s: %w", name, err)
		}
		s.buckets[name] = b
	}
	var first error
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		records, err := s.keys(name)
		if err != nil {
			return err
		}
		for _, r := range records {
			err := intact(s.path(name, "blobs", r.SHA256), r.SHA256)
			verdict := "OK"
			var damaged *DamagedError
			if errors.As(err, &damaged) {
				damaged.Bucket, damaged.Key, verdict = name, r.Key, "FAILED"
			} else if err != nil {
				return err
			}
			if first == nil {
				first = err
			}
			if _, err := fmt.Fprintf(out, "%s/%s: %s\n", name, r.Key, verdict); err != nil {
				return err
			}
		}
	}
	return first
}
