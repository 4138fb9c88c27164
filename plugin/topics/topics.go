// Package topics holds what `kubectl ai help TOPIC` prints beside the help of
// commands: one file a topic, in Markdown that reads well as it is.
package topics

import (
	"embed"
	"io/fs"
	"strings"
)

// Topic is a text about something that several commands share.
type Topic struct {
	Name  string // what is typed
	Title string // a line
	Text  string
}

//go:embed *.md
var files embed.FS

// All returns the topics by name.
func All() []Topic {
	names, _ := fs.Glob(files, "*.md") // the pattern is right
	var all []Topic
	for _, name := range names {
		raw, _ := files.ReadFile(name) // Glob has just seen it
		title, text, _ := strings.Cut(strings.TrimPrefix(string(raw), "# "), "\n")
		all = append(all, Topic{strings.TrimSuffix(name, ".md"), title, title + "\n" + text})
	}
	return all
}
