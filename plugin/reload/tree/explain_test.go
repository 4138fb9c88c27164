package tree

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheOrderOfRules(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		".gitignore":            "*.log\n!m.pyc\ndata/\nlogs/*\n",
		IgnoreFile:              "\n# ours\n!a.log\nb.py\nx/deep.py\n!data/in.txt\n!logs/\n!logs/a.txt\n",
		"x/" + IgnoreFile:       "!b.py\n!deep.py\n",
		"x/y/.gitignore":        "b.py\n",
		"data/" + IgnoreFile:    "!in.txt\n",
		"data/in.txt":           "",
		"node_modules/left.pad": "",
	})
	o := Options{Ignore: []string{"z.py", "!c.log\n!*.swp"}, IgnoreName: "kubectl-ai.yaml", IgnoreLines: []int{5, 6}}
	for _, c := range []struct{ path, want string }{
		{"train.py", "true none"},
		{"z.log", "false rule .gitignore:1: *.log"},
		{"a.log", "true rule .kubectl-ai-ignore:3: !a.log"},               // ours over git's
		{"c.log", "true rule kubectl-ai.yaml:6: !c.log"},                  // the project's over both
		{"a.swp", "true rule kubectl-ai.yaml:6: !*.swp"},                  // and over defaults
		{"m.pyc", "true rule .gitignore:2: !m.pyc"},                       // git's over defaults
		{"n.pyc", "false default default: *.pyc"},                         //
		{"b.py", "false rule .kubectl-ai-ignore:4: b.py"},                 //
		{"x/b.py", "true rule x/.kubectl-ai-ignore:1: !b.py"},             // the deeper file first
		{"x/y/b.py", "true rule x/.kubectl-ai-ignore:1: !b.py"},           // ours above over git's below
		{"z.py", "false rule kubectl-ai.yaml:5: z.py"},                    //
		{"x/z.py", "false rule kubectl-ai.yaml:5: z.py"},                  //
		{"data/in.txt", "false rule .gitignore:3: data/"},                 // nothing comes back from an ignored folder
		{"logs/a.txt", "true rule .kubectl-ai-ignore:8: !logs/a.txt"},     //
		{"logs/b.txt", "false rule .gitignore:4: logs/*"},                 //
		{"node_modules/left.pad", "false default default: node_modules/"}, //
		{"venv", "true none"},                                             // no folder there: a file
		{"venv/", "false default default: venv/"},                         // asked for as a folder
		{"venv/lib/x.py", "false default default: venv/"},                 //
		{".git/config", "false never"},                                    //
		{"sub/.git/config", "false never"},                                //
		{".kubectl-ai/state", "false never"},                              //
		{"sub/.kubectl-ai/state", "true none"},                            //
		{".env", "false held-back"},                                       // that is not there yet
		{".", "true none"},                                                //
		{"train.py/x", "true none"},                                       // neither is there
		{".gitignore/x", "false below-file"},                              //
		{"data/x/y/z.log", "false rule .gitignore:3: data/"},              // by the folder, not by *.log
		{"x/deep.py", "true rule x/.kubectl-ai-ignore:2: !deep.py"},       //
		{"logs/deep/in/it.txt", "false rule .gitignore:4: logs/*"},        //
		{"a.log/b.log/c", "false rule .gitignore:1: *.log"},               //
		{"x/.kubectl-ai-ignore", "true none"},                             // travels with the code
	} {
		if got := why(t, root, o, c.path)[0]; got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
}

func TestExplainNamesWhatIsInTheWay(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"d/f": "", ".gitignore": "ig/\n", "ig/a/b": ""})
	if err := os.Symlink("d", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(root, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	report, err := Explain(t.Context(), root, Options{}, []string{"link", "link/f", "link/f/g", "s", "ig/a/b", "d/f/g/h"})
	if err != nil {
		t.Fatal(err)
	}
	rule := &RuleAt{".gitignore", 1, "ig/"}
	want := []Explanation{
		{Path: "link", Included: true, Cause: NoRule},
		{Path: "link/f", Cause: BeyondALink, Folder: "link"},
		{Path: "link/f/g", Cause: BeyondALink, Folder: "link"},
		{Path: "s", Cause: NotAFile},
		{Path: "ig/a/b", Cause: ByRule, Rule: rule, Folder: "ig"},
		{Path: "d/f/g/h", Cause: BelowAFile, Folder: "d/f"},
	}
	if d := cmp.Diff(want, report.Paths); d != "" {
		t.Error(d)
	}
}

func TestExplainRefuses(t *testing.T) {
	for _, p := range []string{"", "../x", "/x", "a//b", "a/../b", "a\x00", ".kubectl-ai/../x"} {
		var e *PathError
		if _, err := Explain(t.Context(), t.TempDir(), Options{}, []string{p}); !errors.As(err, &e) {
			t.Errorf("%q: %v, want a *PathError", p, err)
		}
	}
	var e *RootError
	if _, err := Explain(t.Context(), filepath.Join(t.TempDir(), "no"), Options{}, nil); !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want a *RootError", err)
	}
}

// Explain and a scan are one decision: whatever is there is in the tree
// exactly when Explain says so.
func TestExplainAgreesWithAScan(t *testing.T) {
	root := t.TempDir()
	d := newDrawer(3)
	for range 60 {
		put(t, root, map[string]string{d.pick(skeleton...) + "/f" + d.name(): ""})
	}
	git := gitIn(t, root)
	for round := range 20 {
		for _, at := range []string{"", "a/", "b/b/"} {
			for _, file := range []string{".gitignore", IgnoreFile} {
				put(t, root, map[string]string{at + file: d.file(4, skeleton)})
			}
		}
		git("read-tree", "--empty")
		git("add", "-f", "--", ":(literal)"+d.pick(skeleton...))
		o := Options{Ignore: []string{d.pattern(skeleton)}}
		in := scanned(t, root, o)
		var all []string
		if err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				rel, _ := filepath.Rel(root, p)
				all = append(all, rel)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		report, err := Explain(t.Context(), root, o, all)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range report.Paths {
			if x.Included != slices.Contains(in, x.Path) {
				t.Fatalf("round %d: %+v, in the tree: %v", round, x, !x.Included)
			}
		}
	}
}
