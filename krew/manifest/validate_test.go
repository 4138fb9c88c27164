package manifest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// archives are such as a release has.
func archives() []Archive {
	var out []Archive
	for _, t := range Targets {
		a := Archive{Target: t, File: "kubectl-ai_" + t.OS + "_" + t.Arch + ".tar.gz", SHA256: strings.Repeat("a", 64), Bin: "kubectl-ai"}
		if t.OS == "windows" {
			a.File, a.Bin = strings.Replace(a.File, ".tar.gz", ".zip", 1), "kubectl-ai.exe"
		}
		out = append(out, a)
	}
	return out
}

func TestOursKeepEveryRule(t *testing.T) {
	for _, name := range []string{OwnIndex, PublicIndex} {
		if _, err := Render(name, "v1.2.3-rc.1", "https://example.com/d", archives()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw, err := os.ReadFile("../plugins/ai.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("../plugins/ai.yaml", raw); err != nil {
		t.Errorf("the one of the index: %v", err)
	}
}

// broken are manifests that differ from a good one in one line, by the rule
// that this breaks.
var broken = []struct {
	rule     Rule
	from, to string
}{
	{Syntax, "  homepage:", "  homesite:"},
	{Syntax, "spec:", "spec: ["},
	{APIVersion, "v1alpha2", "v1"},
	{Kind, "kind: Plugin", "kind: Plug"},
	{Name, "  name: ai", "  name: a/i"},
	{Name, "  name: ai", "  name: NUL"},
	{FileName, "  name: ai", "  name: ia"},
	{Version, "version: v1.2.3", "version: 1.2.3"},
	{Version, "version: v1.2.3", "version: v1.02.3"},
	{ShortDescription, "shortDescription: AI training code from laptop to production", `shortDescription: ""`},
	{ShortDescription, "from laptop to production", "from the laptop of an engineer to production"},
	{OneLine, "shortDescription: AI training code from laptop to production", `shortDescription: "AI\ncode"`},
	{URI, "uri: https://", "uri: http://"},
	{ArchiveType, "linux_arm64.tar.gz", "linux_arm64.tgz"},
	{SHA256, strings.Repeat("a", 64), strings.Repeat("A", 64)},
	{SHA256, strings.Repeat("a", 64), "abc"},
	{Bin, "bin: kubectl-ai\n", "bin: ../kubectl-ai\n"},
	{Bin, "    bin: kubectl-ai\n", ""},
	{Executable, "bin: kubectl-ai.exe", "bin: kubectl-ai"},
	{Selector, "selector:\n      matchLabels:\n        os: linux\n        arch: amd64", "selector: {}"},
	{SelectorKeys, "        arch: amd64", "        arch: amd64\n        libc: musl"},
	{Files, "    bin: kubectl-ai\n", "    bin: kubectl-ai\n    files: []\n"},
	{Files, "    bin: kubectl-ai\n", "    bin: kubectl-ai\n    files: [{from: \"*\", to: \"\"}]\n"},
	{Supported, "os: darwin", "os: plan9"},
	{Overlap, "        arch: amd64", ""},
}

func TestABrokenManifestIsRefusedByItsRule(t *testing.T) {
	good, err := Render("ai", "v1.2.3", "https://example.com/d", archives())
	if err != nil {
		t.Fatal(err)
	}
	tried := map[Rule]bool{}
	for _, b := range broken {
		t.Run(fmt.Sprint(b.rule), func(t *testing.T) {
			bad := strings.Replace(string(good), b.from, b.to, 1)
			if bad == string(good) {
				t.Fatalf("%q is not in the manifest", b.from)
			}
			_, err := Parse("ai.yaml", []byte(bad))
			if !breaks(err, b.rule) {
				t.Errorf("rule %q is not named: %v", b.rule, err)
			}
		})
		tried[b.rule] = true
	}
	if _, err := Parse("ai.yaml", noPlatforms(t, good)); !breaks(err, Platforms) {
		t.Errorf("no platforms: %v", err)
	}
	tried[Platforms] = true
	if len(tried) < 15 {
		t.Errorf("%d rules are tried: %v", len(tried), slices.Collect(maps.Keys(tried)))
	}
}

func noPlatforms(t *testing.T, good []byte) []byte {
	t.Helper()
	var p Plugin
	if err := yaml.Unmarshal(good, &p); err != nil {
		t.Fatal(err)
	}
	p.Spec.Platforms = nil
	raw, err := yaml.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// breaks says whether an error names a rule.
func breaks(err error, rule Rule) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), func(err error) bool { return breaks(err, rule) })
	}
	var broken *RuleError
	return errors.As(err, &broken) && broken.Rule == rule
}

func FuzzParse(f *testing.F) {
	good, err := Render("ai", "v1.2.3", "https://example.com/d", archives())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add("spec: {platforms: [{selector: {matchExpressions: [{key: os, operator: In}]}}]}")
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := Parse("ai.yaml", []byte(raw))
		if err == nil && (p.Metadata.Name != "ai" || len(p.Spec.Platforms) == 0) {
			t.Errorf("let pass: %+v", p)
		}
	})
}
