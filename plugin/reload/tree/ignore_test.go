package tree

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWildmatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		pathname      bool
		want          bool
	}{
		{"*.c", "a.c", false, true},
		{"*", "a/b", true, false},
		{"*", "a/b", false, true},
		{"**", "a/b", true, true},
		{"a/**/b", "a/b", true, true},
		{"a/**/b", "a/x/y/b", true, true},
		{"a/**", "a", true, false},
		{"a/**", "a/x/y", true, true},
		{"**/b", "x/y/b", true, true},
		{"a**b", "a/b", true, false},
		{"?", "/", true, false},
		{"[a-c]x", "bx", true, true},
		{"[!a-c]x", "bx", true, false},
		{"[]]", "]", true, true},
		{"[", "[", true, false},
		{"[[:digit:]]", "7", true, true},
		{"[[:nope:]]", "7", true, false},
		{`\*`, "*", true, true},
		{`a\`, `a\`, true, false},
		{"a[/]b", "a/b", true, false},
	} {
		if got := wildmatch(c.pattern, c.text, c.pathname, false); got != c.want {
			t.Errorf("wildmatch(%q, %q, %v) = %v", c.pattern, c.text, c.pathname, got)
		}
	}
}

// TestIgnoredAsGitIgnores draws trees and .gitignore files and asks git which
// files are left.
func TestIgnoredAsGitIgnores(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Log("git is not on PATH; the table above stands alone")
		return
	}
	rounds := 150
	r := rand.New(rand.NewPCG(7, 11))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	name := func() string { return pick("a", "b", "ab", "abc", "a.c", "b.c", ".h", "x y", "[a]", "a*", "é") }
	atom := func() string {
		return pick("a", "b", "c", "*", "**", "?", "[ab]", "[!a]", "[a-c]", `\*`, `\[`, ".c", ".", "é", "[[:alpha:]]", "ab", " ", `\ `, "x y")
	}
	pattern := func() string {
		var b strings.Builder
		b.WriteString(pick("", "", "", "!", "/", "!/", "**/", "#", `\!`))
		for range 1 + r.IntN(4) {
			b.WriteString(pick("", "", atom(), name()))
			b.WriteString(pick("", "", "", "/", "/**", "/**/"))
		}
		b.WriteString(pick("", "", "", "/", " ", "  ", "\r"))
		return b.String()
	}
	for round := range rounds {
		root := t.TempDir()
		git := func(args ...string) []byte {
			cmd := exec.Command("git", append([]string{"-C", root, "-c", "core.excludesFile=/dev/null", "-c", "core.quotePath=false"}, args...)...)
			cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
			return out
		}
		git("init", "-q")
		dirs := []string{""}
		for range 6 {
			d := filepath.Join(pick(dirs...), name())
			if os.MkdirAll(filepath.Join(root, d), 0o755) == nil {
				dirs = append(dirs, d)
			}
		}
		for range 30 {
			_ = os.WriteFile(filepath.Join(root, pick(dirs...), name()), nil, 0o644)
		}
		var said []string
		for range 1 + r.IntN(3) {
			d := pick(dirs...)
			var lines []string
			for range 1 + r.IntN(5) {
				lines = append(lines, pattern())
			}
			said = append(said, fmt.Sprintf("%s/.gitignore: %q", d, lines))
			_ = os.WriteFile(filepath.Join(root, d, ".gitignore"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
		}
		want := strings.Split(strings.TrimSuffix(string(git("ls-files", "-o", "--exclude-standard", "-z")), "\x00"), "\x00")
		slices.Sort(want)
		ix, err := Scan(t.Context(), root, Options{bare: true})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, e := range ix {
			got = append(got, e.Path)
		}
		if len(got) == 0 {
			got = []string{""}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("round %d (-git +ours)\n%s\n%s", round, strings.Join(said, "\n"), d)
		}
	}
}

// Hostile patterns cost at most the product of the lengths. Git's own matcher
// takes exponential time on some of these.
func TestNoPatternTakesForEver(t *testing.T) {
	long, deep := strings.Repeat("a", 4000), strings.Repeat("a/", 2000)
	for _, pattern := range []string{
		strings.Repeat("*a", 100) + "b", strings.Repeat("a*", 100) + "b", strings.Repeat("**/", 100) + "b", strings.Repeat("*/", 100) + "b",
		strings.Repeat("**/a/", 60) + "b", strings.Repeat("**/*a/", 60) + "b", strings.Repeat("?*", 100) + "b", strings.Repeat("[a-z]*", 60) + "b",
		strings.Repeat("**/**/", 60) + "a/b", "**/" + strings.Repeat("*a*", 80) + "/b", strings.Repeat("*aa", 80) + "b", strings.Repeat("**/*a*a", 40) + "b",
	} {
		for _, text := range []string{long, deep, deep + "c", long + "/" + long, strings.Repeat("aaaaaaa/", 500), strings.Repeat("ac", 2000)} {
			for _, pathname := range []bool{true, false} {
				m := matcher{pattern: pattern, text: text, pathname: pathname}
				if m.at(0, 0) == hit {
					t.Errorf("%.20q matches %.20q", pattern, text)
				}
				if most := 4 * len(pattern) * len(text); m.steps > most {
					t.Errorf("%.20q on %.20q (pathname %v): %d steps, want %d at most", pattern, text, pathname, m.steps, most)
				}
			}
		}
	}
}

func FuzzIgnoreEndsAndKeepsItsWord(f *testing.F) {
	f.Add("*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa/aaaa")
	f.Add("**/**/**/**/x", "a/b/c/d/e/f/g/h")
	f.Add("[a-\\", "a")
	f.Add("[[:alpha:", "a")
	f.Fuzz(func(t *testing.T, content, path string) {
		if len(content) > 200 || len(path) > 200 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		rs := parseRules(content)
		first := rs.match(path, filepath.Base(path), false, false)
		second := rs.match(path, filepath.Base(path), false, false)
		if first != second || ctx.Err() != nil {
			t.Error("the same question has two answers, or the answer takes seconds")
		}
	})
}
