package topics

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

func TestEveryTopicHasATitleAndFitsATerminal(t *testing.T) {
	all := All()
	if len(all) < 5 {
		t.Fatalf("%d topics", len(all))
	}
	for _, topic := range all {
		if topic.Title == "" || strings.HasPrefix(topic.Title, "#") || !strings.HasPrefix(topic.Text, topic.Title+"\n") {
			t.Errorf("%s: title %q", topic.Name, topic.Title)
		}
		for line := range strings.Lines(topic.Text) {
			if n := len([]rune(line)); n > 101 {
				t.Errorf("%s: a line of %d characters: %s", topic.Name, n, line)
			}
		}
	}
}

// The project file that the topic shows is taken as it stands, and has every
// field there is.
func TestTheProjectTopicHasEveryField(t *testing.T) {
	var text string
	for _, topic := range All() {
		if topic.Name == "project" {
			text = topic.Text
		}
	}
	_, rest, _ := strings.Cut(text, "```yaml\n")
	file, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no project file in the topic")
	}
	dir := t.TempDir()
	// What is cut short with … stands for a digest or an identity.
	complete := strings.NewReplacer("sha256:…", "sha256:"+strings.Repeat("a", 64), "1f0c…", "1f0c3b1e-3f6e-4b52-9d05-0a3c8a5f2c11", "93ab…", "93ab3b1e-3f6e-4b52-9d05-0a3c8a5f2c11").Replace(file)
	for name, content := range map[string]string{"kubectl-ai.yaml": complete, "src/train.py": "", "keys/ci.pub": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Environments) != 4 || p.Data == nil || len(p.Reload.Policies) != 3 {
		t.Errorf("read: %+v", p)
	}
	tag := regexp.MustCompile("yaml:\"([a-zA-Z]+)")
	sources, err := filepath.Glob("../project/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	for _, source := range sources {
		raw, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range tag.FindAllStringSubmatch(string(raw), -1) {
			if !regexp.MustCompile(`\b` + field[1] + `:`).MatchString(file) {
				t.Errorf("%s of %s is not shown", field[1], filepath.Base(source))
			}
		}
	}
}
