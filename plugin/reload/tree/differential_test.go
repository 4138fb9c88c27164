package tree

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A pair is one question: a path against one set of rules. Soaking asks a
// million, KUBECTL_AI_SOAK=1.
const (
	soakPairs = 1_000_000
	slots     = 40
)

// skeleton are the folders that every slot has.
var skeleton = []string{"a/b/a", "a/ab/c", "b/a", "ab/aab", "A/aB", "x y/a", "build/b", "é/a", "[a]/b", "a*", `a\b/a`, "**/a", ".h/b", "!a", "aab/a.c", "b/b/b/b"}

// TestGitGivesTheSameAnswers asks git check-ignore and Explain the same
// questions and compares not only the answer but the file, the line and the
// pattern that decide. Folders s00, s01, … hold rules of their own, so that one
// process of git answers for many sets of them.
func TestGitGivesTheSameAnswers(t *testing.T) {
	pairs := soakPairs / 20
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		pairs = soakPairs
	}
	seed := uint64(20240611)
	if s, err := strconv.ParseUint(os.Getenv("KUBECTL_AI_SEED"), 10, 64); err == nil {
		seed = s
	}
	for _, kind := range []struct {
		name  string
		share int // percent of all pairs
		case_ bool
		draw  func(*drawer) (rules map[string]string, paths []string)
	}{
		{"one pattern", 45, false, (*drawer).one},
		{"one pattern, any case", 10, true, (*drawer).one},
		{"nested files", 25, false, (*drawer).nested},
		{"rules everywhere", 10, false, (*drawer).everywhere},
		{"lists of the field", 10, false, (*drawer).field},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			git := gitIn(t, root)
			git("config", "core.ignoreCase", strconv.FormatBool(kind.case_))
			git("config", "core.excludesFile", filepath.Join(root, ".git", "personal"))
			asked, ignored := 0, 0
			for slot := range slots {
				for _, f := range skeleton {
					if err := os.MkdirAll(filepath.Join(root, fmt.Sprintf("s%02d", slot), f), 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			for round := uint64(0); asked < pairs*kind.share/100; round++ {
				d := newDrawer(seed, round)
				var files, paths []string
				for slot := range slots {
					rules, below := kind.draw(d)
					at := fmt.Sprintf("s%02d/", slot)
					for file, content := range rules {
						if outside, ok := strings.CutPrefix(file, "/"); ok {
							file = outside
						} else {
							file = at + file
						}
						put(t, root, map[string]string{file: content})
						files = append(files, file)
					}
					for _, p := range below {
						if folder, ok := strings.CutSuffix(p, "/"); ok {
							p = folder
							if err := os.MkdirAll(filepath.Join(root, at+p), 0o755); err != nil {
								continue // a file has that name
							}
						}
						paths = append(paths, at+p)
					}
				}
				asked += len(paths)
				ignored += sameAnswers(t, root, paths, fmt.Sprintf("KUBECTL_AI_SEED=%d, round %d", seed, round))
				if t.Failed() {
					return
				}
				for _, f := range files {
					_ = os.Remove(filepath.Join(root, f))
				}
			}
			t.Logf("%d pairs, %d of them decided by a rule, 0 differences", asked, ignored)
		})
	}
}

// sameAnswers compares and returns how many paths a rule decided about.
func sameAnswers(t *testing.T, root string, paths []string, where string) (decided int) {
	t.Helper()
	out := gitIn(t, root, strings.Join(paths, "\x00"))("check-ignore", "--no-index", "--stdin", "-z", "-v", "-n")
	fields := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	report, err := Explain(t.Context(), root, Options{bare: true}, paths)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if len(fields) != 4*len(paths) {
		t.Fatalf("%s: git answered %d fields for %d paths", where, len(fields), len(paths))
	}
	for i, x := range report.Paths {
		want := RuleAt{File: fields[4*i], Pattern: fields[4*i+2]}
		want.Line, _ = strconv.Atoi(fields[4*i+1])
		got := RuleAt{}
		if x.Rule != nil {
			got = *x.Rule
			decided++
		}
		if got != want || x.Path != fields[4*i+3] || x.Included != (want.Pattern == "" || want.Pattern[0] == '!') {
			raw, _ := os.ReadFile(filepath.Join(root, want.File))
			ours, _ := os.ReadFile(filepath.Join(root, got.File))
			t.Errorf("%s: %q\n git: %v\nours: %v, included %v\n%s:\n%q\n%s:\n%q", where, x.Path, want, got, x.Included, want.File, raw, got.File, ours)
			return decided
		}
	}
	return decided
}

// drawer draws rules and paths. A path that ends in a slash is a folder.
type drawer struct{ *rand.Rand }

func newDrawer(seeds ...uint64) *drawer {
	return &drawer{rand.New(rand.NewPCG(seeds[0], seeds[len(seeds)-1]))}
}

func (d *drawer) pick(from ...string) string { return from[d.IntN(len(from))] }

func (d *drawer) name() string {
	return d.pick("a", "a", "b", "b", "ab", "abc", "aab", "A", "B", "aB", "a.c", "b.C", ".h", "x y", "a ", "[a]", "a*", `a\b`, "é", "a\tb", "a\x0b", "\f", "AB", "x\x7f",
		"!a", "#a", "a-b", "]", "^", "-", "~", "7", "a7", "n\nl", "**", "?", "build", "_")
}

func (d *drawer) atom() string {
	return d.pick("a", "b", "c", "A", "*", "*", "**", "***", "?", "[ab]", "[!a]", "[^a]", "[a-c]", "[A-C]", "[c-a]", "[]]", "[]-a]", "[!]]", "[a-]", "[-a]", `[\]]`, `[a\-c]`, `[\a-c]`,
		"[[:alpha:]]", "[[:upper:]]", "[[:space:]]", "[[:digit:][:punct:]]", "[[:nope:]]", "[[:alpha]", "[[:]", "[[]", "[", "[a", `[\`, "[a/b]", "[!/]",
		`\*`, `\[`, `\a`, `\A`, `\\`, `\/`, `\ `, `\`, ".c", ".", "é", "\xc3", "ab", " ", "x y", "a\t", "build", "]", "-", "#", "!")
}

// pattern draws a pattern; more often than not it is made from a path.
func (d *drawer) pattern(paths []string) string {
	var b strings.Builder
	b.WriteString(d.pick("", "", "", "", "!", "/", "!/", "**/", "/**/", "#", `\#`, `\!`, "!!", " ", "//", "./"))
	if len(paths) > 0 && d.IntN(4) > 0 {
		b.Reset()
		b.WriteString(d.pick("", "", "", "", "", "!", "/", "/", "!/", "**/"))
		b.WriteString(d.aimed(strings.TrimSuffix(d.pick(paths...), "/")))
	} else {
		for range 1 + d.IntN(4) {
			b.WriteString(d.pick("", "", d.atom(), d.atom(), d.name()))
			b.WriteString(d.pick("", "", "", "/", "/", "/**", "/**/", "**/", "/*/", `\/`))
		}
	}
	b.WriteString(d.pick("", "", "", "", "", "", "/", " ", "  ", `\ `, `\  `, "\r", "/ ", "/**", "\\", "\x00x"))
	return strings.ReplaceAll(b.String(), "\n", " ")
}

// aimed makes a pattern of a path: parts of it, characters become wildcards.
func (d *drawer) aimed(path string) string {
	parts := strings.Split(path, "/")
	if d.IntN(2) == 0 {
		parts = parts[d.IntN(len(parts)):]
	}
	if d.IntN(3) == 0 {
		parts = parts[:1+d.IntN(len(parts))]
	}
	for i, part := range parts {
		switch d.IntN(6) {
		case 0:
			parts[i] = d.pick("*", "**", "***", "?*", "*?", "[!/]*", "**/*", part[:d.IntN(len(part)+1)]+d.pick("*", "**", "**/"), d.pick("*", "**", "/**")+part[d.IntN(len(part)):])
			continue
		case 1, 2:
			continue
		}
		var b strings.Builder
		for j := range len(part) {
			c := part[j : j+1]
			b.WriteString(d.pick(c, c, c, `\`+c, "?", "*", "**", "["+c+"]", "[!"+c+"]", "[^q]", "[a-"+c+"]", "["+c+"-z]", "[[:"+d.class()+":]"+c+"]", "[[:"+d.class()+":]]", "[^[:"+d.class()+":]]", `[\`+c+"]", strings.ToUpper(c), "*"+c, c+"*"))
		}
		parts[i] = b.String()
	}
	return strings.Join(parts, "/")
}

func (d *drawer) class() string {
	return d.pick("alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit")
}

func (d *drawer) path() string {
	if d.IntN(3) == 0 {
		return d.pick(skeleton...)
	}
	parts := make([]string, 1+d.IntN(3))
	for i := range parts {
		parts[i] = d.name()
	}
	if d.IntN(2) == 0 {
		parts = append([]string{d.pick(skeleton...)}, parts...)
	}
	return strings.Join(parts, "/")
}

func (d *drawer) paths(n int) (paths []string) {
	for range n {
		paths = append(paths, d.path())
	}
	return paths
}

func (d *drawer) file(most int, paths []string) string {
	lines := make([]string, 1+d.IntN(most))
	for i := range lines {
		lines[i] = d.pattern(paths)
	}
	return d.pick("", "", "", "\ufeff") + strings.Join(lines, d.pick("\n", "\n", "\n", "\r\n", "\n\n")) + d.pick("", "\n", "\r\n")
}

func (d *drawer) one() (map[string]string, []string) {
	paths := d.paths(40)
	return map[string]string{".gitignore": d.pattern(paths) + "\n"}, paths
}

func (d *drawer) nested() (map[string]string, []string) {
	paths := d.paths(40)
	files := map[string]string{".gitignore": d.file(5, paths)}
	for range d.IntN(4) {
		at := d.pick(skeleton...)
		files[at+"/.gitignore"] = d.file(3, paths)
	}
	return files, paths
}

func (d *drawer) everywhere() (map[string]string, []string) {
	files, paths := d.nested()
	if d.IntN(8) == 0 {
		files[d.pick("/.gitignore", "/.git/info/exclude", "/.git/personal")] = d.file(2, paths)
	}
	return files, paths
}

// field draws from lists as projects have them.
func (d *drawer) field() (map[string]string, []string) {
	list := lists[d.IntN(len(lists))]
	var paths []string
	for range 8 {
		paths = append(paths, slices.Collect(d.fitting(d.pick(list...), 4))...)
	}
	return map[string]string{".gitignore": strings.Join(list, "\n") + "\n"}, append(paths, d.paths(8)...)
}

// fitting yields paths made from a pattern, some of which it matches.
func (d *drawer) fitting(pattern string, n int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for range n {
			p := strings.TrimPrefix(pattern, "!")
			p = strings.ReplaceAll(p, "**", d.pick("a", "x/y", "a/b/c"))
			for strings.ContainsAny(p, "*?[") {
				i := strings.IndexAny(p, "*?[")
				end := i + 1
				with := d.pick("", "a", "b.c", "9")
				switch p[i] {
				case '[':
					if j := strings.IndexByte(p[i+1:], ']'); j >= 0 {
						end = i + j + 2
					}
					with = d.pick("a", "c", "o", "7")
				case '?':
					with = d.pick("a", "/", "é")
				}
				p = p[:i] + with + p[end:]
			}
			p = strings.ReplaceAll(p, `\`, "")
			p = d.pick("", "", "", "a/", "src/b/") + p + d.pick("", "", "", "/", "x", "/a", "/a/b")
			if d.IntN(8) == 0 {
				p = strings.ToUpper(p)
			}
			folder := d.pick("", "/")
			if p = strings.Trim(filepath.Clean("/"+strings.Trim(p, "\r\x00")), "/"); p == "" || strings.Contains("/"+p+"/", "/.git/") || !isPlain(p) {
				continue
			}
			if !yield(p + folder) {
				return
			}
		}
	}
}

func isPlain(p string) bool { return CheckPath(p) == nil && len(p) < 200 }

// lists are facts of the field, as its .gitignore files have them.
var lists = [][]string{
	{"__pycache__/", "*.py[cod]", "*$py.class", "*.so", "build/", "dist/", "*.egg-info/", "*.egg", ".eggs/", "/lib/", "wheels/", ".tox/", ".coverage", ".coverage.*", "htmlcov/", ".pytest_cache/", ".mypy_cache/", "*.log", "docs/_build/", ".venv", "env/", "!src/env/"},
	{"data/*", "!data/README.md", "*.ckpt", "*.pt", "!models/tiny.pt", "runs/", "wandb/", "lightning_logs/", "mlruns/", "outputs/**/checkpoints/", "events.out.tfevents.*", "/cache", ".ipynb_checkpoints", "**/tmp/**", "!**/tmp/keep"},
	{"node_modules/", "npm-debug.log*", "yarn-error.log", ".npm", "*.tsbuildinfo", ".next/", "/out", "coverage/", ".pnp.*", ".yarn/*", "!.yarn/patches", "!.yarn/plugins", ".cache", "*.tgz", "!/packages/*/dist/index.js"},
	{"*.aux", "*.bbl", "*.blg", "*.fdb_latexmk", "*.fls", "*.synctex.gz", "*.synctex(busy)", "*.toc", "*.lo[ft]", "*-blx.bib", "*.pdf", "!figures/*.pdf", "_minted*"},
	{"*.o", "*.ko", "*.[ao]", "*.so.*", "*.d", "*.exe", "*.out", "*.dSYM/", "/Makefile", "CMakeFiles/", "CMakeCache.txt", "cmake-build-*/", "Debug/", "[Rr]elease/", "[Bb]in/", "[Oo]bj/", "!/tools/bin/", "*~", "\\#*\\#", ".\\#*"},
	{"/*", "!/src", "!/README.md", "/src/*", "!/src/main", "/src/main/generated"},
	{"/target/", "**/*.rs.bk", "*.pdb", "target", "Cargo.lock", "!/bin/Cargo.lock", ".idea/", "*.iml", ".vscode/*", "!.vscode/settings.json", ".DS_Store", "Thumbs.db", "._*", "[Dd]esktop.ini", "foo\\ ", "trailing   "},
	{"/bin", "/pkg", "vendor/", "*.test", "*.prof", "go.work", "testdata/**/out", "a/**/b", "**/foo/bar", "foo/**", "abc/**/", "dir/*/x?.[ch]"},
}
