package term

import (
	"io"
	"path/filepath"
	"strings"
)

// ourName is how texts in the source name this program: as krew installs it.
const ourName = "kubectl ai"

// Called is how the user called this program. Texts name it "kubectl ai"; what
// is printed names it so that it can be typed again. The zero value is a call
// through kubectl under that name.
type Called struct {
	// Words are what stands before a verb: "kubectl ai", "kubectl ai-bundle",
	// or the name of the file for one that was started without kubectl.
	Words string
	// File is the name of the plugin's file, without .exe: kubectl-ai.
	File string
	// Args are the arguments that the name stands for: a link kubectl-ai-run
	// is called for "kubectl ai run", and kubectl_complete-ai for completion.
	Args []string
}

// CalledAs reads the name from the first word of the command line. kubectl
// starts a plugin by its absolute path, in which dashes part words and
// underscores are dashes of words (kubernetes.io, "Extend kubectl with
// plugins"); krew names files the same way. underscore is the variable _ in
// which bash and zsh leave the program that was typed: it tells a path that
// was typed from one that kubectl found.
func CalledAs(argv0, underscore string) Called {
	base := filepath.Base(argv0)
	if ext := filepath.Ext(base); strings.EqualFold(ext, ".exe") {
		base = strings.TrimSuffix(base, ext)
	}
	rest, completes := strings.CutPrefix(base, "kubectl_complete-")
	rest, plugin := strings.CutPrefix(rest, "kubectl-")
	if rest == "" || !plugin && !completes {
		return Called{Words: base, File: base}
	}
	first, verb, linked := strings.Cut(rest, "-")
	c := Called{Words: "kubectl " + dashed(first), File: "kubectl-" + first}
	if completes {
		c.Args = append(c.Args, "__complete")
	}
	if linked {
		for word := range strings.SplitSeq(verb, "-") {
			c.Args = append(c.Args, dashed(word))
		}
	}
	if !linked && !completes && (!filepath.IsAbs(argv0) || argv0 == underscore) {
		c.Words = c.File
	}
	return c
}

func dashed(word string) string { return strings.ReplaceAll(word, "_", "-") }

// Say returns a text that names this program as the user called it.
func (c Called) Say(text string) string {
	if c.Words == "" || c.Words == ourName {
		return text
	}
	return strings.ReplaceAll(text, ourName, c.Words)
}

// Name returns what stands before a verb.
func (c Called) Name() string {
	if c.Words == "" {
		return ourName
	}
	return c.Words
}

// Voice writes to stderr in the words of Called, a text at a time.
func (s Streams) Voice() io.Writer { return voice{s} }

type voice struct{ s Streams }

func (v voice) Write(p []byte) (int, error) {
	if _, err := io.WriteString(v.s.ErrOut, v.s.Called.Say(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
