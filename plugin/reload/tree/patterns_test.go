package tree

import "testing"

func TestPatternsChoosePaths(t *testing.T) {
	for _, c := range []struct {
		name     string
		patterns []string
		chosen   []string
		not      []string
	}{
		{"none", nil, nil, []string{"a", "a/b"}},
		{"a name anywhere", []string{"*.yaml"}, []string{"a.yaml", "x/y/a.yaml", "d.yaml/x.py"}, []string{"a.py"}},
		{"a folder", []string{"configs/"}, []string{"configs/a", "x/configs/b/c"}, []string{"configs", "a/myconfigs/b"}},
		{"a path", []string{"/configs/**"}, []string{"configs/a", "configs/b/c"}, []string{"x/configs/a", "configs"}},
		{"one taken back", []string{"*.yaml", "!train.yaml"}, []string{"a.yaml"}, []string{"train.yaml", "x/train.yaml"}},
		{"one below a folder taken back", []string{"configs/", "!configs/model.yaml"}, []string{"configs/a"}, []string{"configs/model.yaml"}},
		{"the last decides", []string{"!a.yaml", "*.yaml"}, []string{"a.yaml"}, nil},
		{"a comment and nothing", []string{"# x", ""}, nil, []string{"x", "# x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := ParsePatterns(c.patterns)
			for _, path := range c.chosen {
				if !p.Match(path) {
					t.Errorf("%s is not chosen", path)
				}
			}
			for _, path := range c.not {
				if p.Match(path) {
					t.Errorf("%s is chosen", path)
				}
			}
		})
	}
}
