// Package tree says what a code tree is: a sorted list of files with a
// digest, which files of a folder belong to it, and what differs between two
// of them. Laptop, pods and image layers share this one definition.
//
// The digest is SHA-256 over one line an entry, sorted bytewise by path:
//
//	<f|x|l> <64 hex of Sum>  <path>\n
//
// f is a file, x a file that its owner may execute, l a symbolic link, whose
// Sum is taken over its target. Paths are slash-separated and escaped as
// sha256sum(1) does. Owners, times, other mode bits and empty folders do not
// enter, so that find, sort and sha256sum recompute the digest anywhere.
//
// Which files belong is decided by patterns with the meaning that
// gitignore(5) gives them: defaults first, then .gitignore files inside the
// folder, then the patterns of the project file, a later one winning. Files
// above the folder do not count, so that a copy of it has the same digest.
//
// A scan reads and never writes; links are recorded and never followed.
package tree
