// Package samples carries the bundles that kubectl ai can start a user with.
package samples

import "embed"

// FS holds the bundles, a folder each. Compiled Python is not among them.
//
//go:embed digits
var FS embed.FS
