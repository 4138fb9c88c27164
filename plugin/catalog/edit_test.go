package catalog

import (
	"slices"
	"strings"
	"testing"
)

func TestTakeKeepsEveryLine(t *testing.T) {
	const entry = "../../components/train/local"
	for _, test := range []struct{ name, before, want string }{
		{"nothing", "", "components:\n- " + entry + "\n"},
		{"a comment", "# mine", "# mine\ncomponents:\n- " + entry + "\n"},
		{
			"no components",
			"# mine\nnamespace: x # here\n\nresources: [../../base]\n",
			"# mine\nnamespace: x # here\n\nresources: [../../base]\ncomponents:\n- " + entry + "\n",
		},
		{"no line break at the end", "namespace: x", "namespace: x\ncomponents:\n- " + entry + "\n"},
		{
			"others before it",
			"components:\n- ../../components/a/local # first\n\n# the last\n- ../../components/b/local # second\n\nnamespace: x\n",
			"components:\n- ../../components/a/local # first\n\n# the last\n- ../../components/b/local # second\n- " + entry + "\n\nnamespace: x\n",
		},
		{
			"lists further in, quoted, and no line break",
			"namespace: é\ncomponents:\n    -   \"../../components/a/local\"",
			"namespace: é\ncomponents:\n    -   \"../../components/a/local\"\n    -   " + entry + "\n",
		},
		{"in brackets", "components: [../a, ../b] # both\nnamespace: x\n", "components: [../a, ../b, " + entry + "] # both\nnamespace: x\n"},
		{"in brackets over lines", "components: [\n  ../a\n]\n", "components: [\n  ../a\n, " + entry + "]\n"},
		{"empty brackets", "components: []\n", "components: [" + entry + "]\n"},
		{"there already", "components: [" + entry + "]\n", "components: [" + entry + "]\n"},
		{
			"another form of it",
			"components:\n- ../../components/train/production # ranks\n- ../../components/b/local\n",
			"components:\n- " + entry + " # ranks\n- ../../components/b/local\n",
		},
		{"another form of it, quoted", "components: ['../../components/train/production', ../b]\n", "components: [" + entry + ", ../b]\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := take([]byte(test.before), entry)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestTakeRefuses(t *testing.T) {
	for _, before := range []string{"components: x\n", "components:\n", "components: {a: b}\n", "components: [[a]]\n", "- a\n", "a: [\n"} {
		if got, err := take([]byte(before), "../c"); err == nil {
			t.Errorf("%q became %q", before, got)
		}
	}
}

// Whatever a kustomization is: it is refused, or what is added is a piece in
// the midst of what was there, and a parser finds the entry.
func FuzzTake(f *testing.F) {
	for _, seed := range []string{"", "components:\n- a\n", "components: [a, 'b']\n", "a: |\n  components:\n", "components: # x\n  - a # ]\n", "\ufeffcomponents: []", "components:\r\n- a\r\n", "%YAML 1.1\n---\ncomponents: [a]\n", "components:\n- >-\n  a\n  b\n"} {
		f.Add(seed)
	}
	const entry = "../../components/train/local"
	f.Fuzz(func(t *testing.T, before string) {
		got, err := take([]byte(before), entry)
		if err != nil || strings.Contains(before, "train") {
			return
		}
		list, _, err := componentsOf(got)
		if err != nil || !slices.Contains(list, entry) {
			t.Fatalf("%q became %q: %v, %v", before, got, list, err)
		}
		at := strings.Index(string(got), entry)
		same := 0
		for same < len(before) && same < at && before[same] == got[same] {
			same++
		}
		if !strings.HasSuffix(string(got), before[same:]) && !strings.HasPrefix(string(got), before) {
			t.Fatalf("%q became %q: more than a piece was put in", before, got)
		}
	})
}
