// Package pull brings what programs wrote beside their code from a rank to
// this machine, over a stream of its own: neither a shell nor tar is needed in
// the image, and the reload engine's stream is left alone.
//
//	this machine                         the rank
//	                                 ←   a line of magic, the list: JSON, a line each, then an empty line
//	numbers of those wanted, in      →
//	lines, then an empty line
//	                                 ←   a tar stream of these, each file followed by a
//	                                     global header with its digest
//
// The digest ends a file: what a cut connection leaves unfinished is no file
// here, and neither is what a program changed while it was read. Files that
// are here already, by size and time, are not asked for again.
package pull
