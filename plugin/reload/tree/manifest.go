package tree

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

// ParseManifest reads what Manifest writes. Sizes and the targets of links
// are not in a manifest and stay empty.
func ParseManifest(raw []byte) (Index, error) {
	var index Index
	for line := range bytes.Lines(raw) {
		text := strings.TrimSuffix(string(line), "\n")
		const head = 2 + 64 + 2
		if len(text) <= head || text[1] != ' ' || text[head-2:head] != "  " {
			return nil, fmt.Errorf("manifest line %q: want KIND SUM  PATH", text)
		}
		e := Entry{Path: unescape(text[head:])}
		switch text[0] {
		case 'f':
			e.Kind = File
		case 'x':
			e.Kind = Executable
		case 'l':
			e.Kind = Link
		default:
			return nil, fmt.Errorf("manifest line %q: unknown kind", text)
		}
		if _, err := hex.Decode(e.Sum[:], []byte(text[2:2+64])); err != nil {
			return nil, fmt.Errorf("manifest line %q: %w", text, err)
		}
		index = append(index, e)
	}
	return index, index.Check()
}

func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(s)
}
