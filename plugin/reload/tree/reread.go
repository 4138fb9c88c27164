package tree

import (
	"context"
	"os"
	"path"
	"slices"
	"sort"
	"time"
)

// Reread hashes files again of whose metadata nothing has moved, from where
// the call before it ended and around: a write through a mapping, another
// machine's on a shared folder, or a clock that was set back can leave content
// behind that no stat tells of. A call reads so many files and about so many
// bytes; what a large file takes beyond that, the calls after it save.
//
// It returns the folders of files with another content. A Rescan of these
// reads the files anew.
func (s *Scanner) Reread(ctx context.Context, files int, bytes int64) (dirs []string) {
	if s.owed > bytes {
		s.owed -= bytes
		return nil
	}
	left := bytes - s.owed
	s.owed = 0
	all := collect(nil, s.top)
	from := sort.Search(len(all), func(i int) bool { return all[i].Path > s.reread })
	for i := range min(files, len(all)) {
		if left <= 0 || ctx.Err() != nil {
			break
		}
		f := all[(from+i)%len(all)]
		s.reread = f.Path
		left -= f.Size
		full := s.full(f.Path)
		info, err := os.Lstat(full)
		if err != nil || identify(info) != f.id {
			continue // the next look finds it
		}
		if sum, _, err := hash(full, info, nil); err == nil && sum != f.Sum {
			f.read = time.Time{}
			if dir := path.Dir(f.Path); !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	s.owed = max(0, -left)
	return dirs
}

// collect returns the files of a folder and those below it, by path. Links
// have no content that could change in place.
func collect(to []*file, f *folder) []*file {
	if f == nil {
		return to
	}
	for _, c := range f.children {
		switch {
		case c.sub != nil:
			to = collect(to, c.sub)
		case c.file.Kind != Link:
			to = append(to, c.file)
		}
	}
	return to
}
