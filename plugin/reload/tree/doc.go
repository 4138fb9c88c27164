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
// gitignore(5) gives them. What speaks first wins:
//
//   - the project file's list;
//   - .kubectl-ai-ignore files, the deepest first;
//   - git's index: what git tracks is never ignored by the rules below;
//   - git's rules: .gitignore files, the deepest first, up to the top of the
//     repository that the code lies in; $GIT_DIR/info/exclude;
//     core.excludesFile;
//   - Defaults.
//
// As in git, nothing comes back from a folder that is ignored, but for what
// git tracks there; the list and .kubectl-ai-ignore files drop that too. A
// repository inside the code, such as a submodule, has git rules and an index
// of its own, and those around it end at its top. Where the repository ignores
// the code as a whole, its rules from above do not count: it was named as
// code. Outside of a repository git's rules are the .gitignore files inside.
//
// So files above the folder count, and so do one's own excludes and git's
// index. The consequence: a copy of the folder outside of its repository, or
// a clone on a machine with other personal excludes or without git, can have
// another digest. What travels with the folder decides alone when it says all
// of it: .gitignore and .kubectl-ai-ignore files in it and the project file.
//
// A file that belongs may still be held back, for safety: by a name that is
// a secret's by custom, or by its size. A tracked secret is held back too. It
// passes once a negated pattern of the list or of a .kubectl-ai-ignore file
// names just it.
//
// A scan reads and never writes; links are recorded and never followed.
package tree
