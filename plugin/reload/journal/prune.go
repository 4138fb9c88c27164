package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// prune makes the folder, and drops the older generations when there are too
// many. It runs once a process, before its first line.
func (j *Journal) prune() error {
	if err := os.MkdirAll(filepath.Join(j.dir, "blobs"), 0o700); err != nil {
		return err
	}
	count := 0
	if err := j.replay(func(*record, tree.Index) error { count++; return nil }); err != nil || count < 2*Keep {
		return err
	}
	var kept bytes.Buffer
	used := map[string]bool{}
	var before tree.Index
	n := 0
	err := j.replay(func(r *record, index tree.Index) error {
		if n++; n <= count-Keep {
			return nil
		}
		line := record{Generation: r.Generation}
		if before != nil {
			line.Base = before.Digest()
		}
		changes := index.Diff(before)
		line.Deletes = changes.Deletes
		for _, e := range changes.Puts {
			line.Puts = append(line.Puts, entry{e.Path, e.Kind, e.Size, hex.EncodeToString(e.Sum[:]), []byte(e.Target)})
		}
		for _, e := range index {
			used[hex.EncodeToString(e.Sum[:])] = true
		}
		before = index
		raw, err := json.Marshal(line)
		kept.Write(append(raw, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	next := j.file() + ".new"
	if err := os.WriteFile(next, kept.Bytes(), 0o600); err != nil {
		return err
	}
	if err := os.Rename(next, j.file()); err != nil {
		return err
	}
	return filepath.WalkDir(filepath.Join(j.dir, "blobs"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !used[e.Name()] {
			return os.Remove(path)
		}
		return err
	})
}
