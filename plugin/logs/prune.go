package logs

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is a file of a copy.
type segment struct {
	path   string
	number int
	size   int64
	time   time.Time
}

// segments are the files of a run's copy, the oldest first.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".log")
		number, err := strconv.Atoi(name)
		if !ok || err != nil || number < 1 || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // dropped just now
		}
		out = append(out, segment{filepath.Join(dir, e.Name()), number, info.Size(), info.ModTime()})
	}
	slices.SortFunc(out, func(a, b segment) int { return a.number - b.number })
	return out, nil
}

// folder is the copy of a run.
type folder struct {
	path string
	size int64
	time time.Time // when it was written last
}

// folders are the copies of a bundle's runs, the one that was written last first.
func folders(dir string) ([]folder, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []folder
	for _, e := range entries {
		if !e.IsDir() || !isID(e.Name()) {
			continue
		}
		f := folder{path: filepath.Join(dir, e.Name())}
		all, err := segments(f.path)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			f.size += s.size
			if s.time.After(f.time) {
				f.time = s.time
			}
		}
		if len(all) > 0 {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b folder) int { return cmp.Or(b.time.Compare(a.time), cmp.Compare(a.path, b.path)) })
	return out, nil
}

// prune drops copies of all bundles until what is left, the newest, takes no
// more than a number of bytes.
func prune(dir string, most int64) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all []folder
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		of, err := folders(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		all = append(all, of...)
	}
	slices.SortFunc(all, func(a, b folder) int { return b.time.Compare(a.time) })
	var size int64
	for _, f := range all {
		if size += f.size; size > most {
			if err := os.RemoveAll(f.path); err != nil {
				return err
			}
		}
	}
	return nil
}
