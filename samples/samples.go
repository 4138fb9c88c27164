// Package samples carries the bundles that kubectl ai can start a user with.
package samples

import "embed"

// FS holds the bundles, a folder each. Compiled Python is not among them.
//
//go:embed char-lm digits torch-ddp tune
var FS embed.FS
