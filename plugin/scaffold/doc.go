// Package scaffold makes a bundle out of a training project: it finds out how
// the project is started, what its code imports and which image it runs in,
// and plans the files that are missing. It is what kustomize calls
// `create --autodetect`, and skaffold `init`.
//
// Invariants:
//   - Make reads a file system and returns values: it writes nothing, starts
//     nothing and asks nobody.
//   - Everything that it found out carries the place where it was found.
//   - What the project has is adopted as it is. Only files that are not there
//     are planned, and Plan.Write replaces none.
//   - What cannot be found out is an error that names what is missing, never
//     a guess.
package scaffold
