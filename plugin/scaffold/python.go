package scaffold

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// script is what one Python file shows of itself. Lines count from 1; 0: not
// there.
type script struct {
	path    string
	imports []imported
	guard   int      // if __name__ == "__main__"
	look    []string // words of training that it has
	lookAt  int
	cuda    int
	ranks   int // where it joins a process group, or asks how many there are
}

// imported is a module by its full name; level counts the dots of a relative
// import.
type imported struct {
	module string
	level  int
	line   int
}

var (
	importLine = regexp.MustCompile(`^\s*import\s+([\w.,\s]+?)\s*(?:#.*|;.*)?$`)
	fromLine   = regexp.MustCompile(`^\s*from\s+(\.*)([\w.]*)\s+import\s+\(?([\w\s,*]*)`)
	guardLine  = regexp.MustCompile(`^if\s+__name__\s*==\s*['"]__main__['"]`)
	tryLine    = regexp.MustCompile(`^\s*try\s*:`)
	cudaWord   = regexp.MustCompile(`\bcuda\b|\bnccl\b`)
	ranksWord  = regexp.MustCompile(`\binit_process_group\b|["']WORLD_SIZE["']|\bdeepspeed\.init(?:ialize|_distributed)\b`)
	trainWord  = regexp.MustCompile(`(?i)\b(optimi[sz]er|loss|epochs?|backward\(|\.fit\(|train(?:ing)?|gradients?|grad|learning_rate|checkpoint|accuracy)`)
)

// readScript reads a file line by line: what stands in a docstring or in a
// comment does not count, and an import that is tried is not needed.
func readScript(name string, raw []byte) *script {
	s := &script{path: name}
	quote, tried := "", false
	for i, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimRight(line, "\r")
		if quote != "" {
			_, after, closed := strings.Cut(line, quote)
			if !closed {
				continue
			}
			quote, line = "", after
		}
		if trimmed := strings.TrimSpace(line); trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		for _, q := range []string{`"""`, "'''"} {
			if before, _, open := strings.Cut(line, q); open && strings.Count(line, q)%2 == 1 {
				quote, line = q, before
				break
			}
		}
		if !tried {
			s.imports = append(s.imports, importsOf(line, i+1)...)
		}
		tried = tryLine.MatchString(line)
		if guardLine.MatchString(line) && s.guard == 0 {
			s.guard = i + 1
		}
		code, _, _ := strings.Cut(line, " #")
		if cudaWord.MatchString(code) && s.cuda == 0 {
			s.cuda = i + 1
		}
		if ranksWord.MatchString(code) && s.ranks == 0 {
			s.ranks = i + 1
		}
		for _, m := range trainWord.FindAllString(code, -1) {
			word := strings.ToLower(strings.TrimRight(m, "(s"))
			if !slices.Contains(s.look, word) {
				s.look = append(s.look, word)
				s.lookAt = max(s.lookAt, i+1)
			}
		}
	}
	return s
}

func importsOf(line string, at int) (list []imported) {
	if m := fromLine.FindStringSubmatch(line); m != nil {
		list = append(list, imported{m[2], len(m[1]), at})
		for name := range strings.SplitSeq(m[3], ",") {
			if fields := strings.Fields(name); len(fields) > 0 && fields[0] != "*" {
				list = append(list, imported{strings.TrimPrefix(m[2]+"."+fields[0], "."), len(m[1]), at})
			}
		}
		return list
	}
	if m := importLine.FindStringSubmatch(line); m != nil {
		for name := range strings.SplitSeq(m[1], ",") {
			if fields := strings.Fields(name); len(fields) > 0 {
				list = append(list, imported{fields[0], 0, at})
			}
		}
	}
	return list
}

// trains tells a script that has the look of training: two of its words.
func (s *script) trains() bool { return len(s.look) >= 2 }

// at names a line of the script.
func (s *script) at(line int) string { return fmt.Sprintf("%s:%d", s.path, line) }

// uses is what an entry point reaches: its file and those of the project that
// it imports, directly or not.
type uses []*script

// reach follows imports from the given files. Without any it is all files.
func (s *survey) reach(from ...string) uses {
	if len(from) == 0 {
		var all uses
		for _, name := range s.scripts {
			all = append(all, s.python[name])
		}
		return all
	}
	var out uses
	seen := map[string]bool{}
	for len(from) > 0 {
		file := s.python[from[0]]
		from = from[1:]
		if file == nil || seen[file.path] {
			continue
		}
		seen[file.path] = true
		out = append(out, file)
		for _, m := range file.imports {
			from = append(from, s.resolve(file, m)...)
		}
	}
	return out
}

// resolve returns the files of the project that an import runs: a module, or
// a package's __init__.py.
func (s *survey) resolve(from *script, m imported) []string {
	roots := []string{path.Dir(from.path), ".", "src"}
	if m.level > 0 {
		dir := path.Dir(from.path)
		for range m.level - 1 {
			dir = path.Dir(dir)
		}
		roots = []string{dir}
	}
	for _, root := range roots {
		var found []string
		at := root
		for part := range strings.SplitSeq(m.module, ".") {
			at = path.Join(at, part)
			for _, name := range []string{at + ".py", at + "/__init__.py"} {
				if s.python[name] != nil {
					found = append(found, name)
				}
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// local tells a module of the project's own, a namespace package too.
func (s *survey) local(from *script, m imported) bool {
	if m.level > 0 || len(s.resolve(from, m)) > 0 {
		return true
	}
	top, _, _ := strings.Cut(m.module, ".")
	for _, root := range []string{path.Dir(from.path), ".", "src"} {
		if s.pythonDirs[path.Join(root, top)] {
			return true
		}
	}
	return false
}

// packages returns what the files import that neither the project nor Python
// itself has.
func (s *survey) packages(u uses) []Package {
	var out []Package
	for _, file := range u {
		for _, m := range file.imports {
			top, _, _ := strings.Cut(m.module, ".")
			if top == "" || standard[top] || strings.HasPrefix(top, "_") || s.local(file, m) {
				continue
			}
			name := normal(top)
			if other := distributions[top]; other != "" {
				name = other
			}
			if !slices.ContainsFunc(out, func(p Package) bool { return p.Name == name }) {
				out = append(out, Package{name, file.at(m.line)})
			}
		}
	}
	return out
}

// needs are the packages that the runtime image has to bring: those that the
// project declares, else what its code imports.
func (s *survey) needs(u uses) []Package {
	if s.requirements.File != "" {
		return s.requirements.Packages
	}
	return s.packages(u)
}

func (u uses) first(line func(*script) int) string {
	for _, file := range u {
		if n := line(file); n > 0 {
			return file.at(n)
		}
	}
	return ""
}

// gpu returns where the code names CUDA.
func (u uses) gpu() string { return u.first(func(f *script) int { return f.cuda }) }

// ranks returns where the code joins others.
func (u uses) ranks() string { return u.first(func(f *script) int { return f.ranks }) }

// torch returns where the code imports PyTorch.
func (u uses) torch() (string, bool) {
	where := u.first(func(f *script) int {
		for _, m := range f.imports {
			if m.module == "torch" || strings.HasPrefix(m.module, "torch.") {
				return m.line
			}
		}
		return 0
	})
	return where, where != ""
}

// distributions are packages that are not called like the module they bring.
var distributions = map[string]string{
	"PIL": "pillow", "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "dateutil": "python-dateutil",
	"dotenv": "python-dotenv", "faiss": "faiss-cpu", "google": "protobuf", "hydra": "hydra-core", "lightning_fabric": "lightning",
	"pkg_resources": "setuptools", "pytorch_lightning": "pytorch-lightning", "skimage": "scikit-image", "sklearn": "scikit-learn",
	"umap": "umap-learn", "yaml": "pyyaml",
}

// standard are the modules of Python 3.11's own library
// (sys.stdlib_module_names).
var standard = func() map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(`
abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins
bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent
configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis
distutils doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib
functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib
imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap
marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers
opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix
posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline
reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr
socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct
subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading
time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata
unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile
zipimport zlib zoneinfo`) {
		set[name] = true
	}
	return set
}()
