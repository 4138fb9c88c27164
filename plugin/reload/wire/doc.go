// Package wire is what laptop and agent say to each other over one byte
// stream, and nothing else: both ends share these messages, and neither
// Kubernetes nor the file system is known here.
//
// A side first writes the magic text; whatever came before it on the stream
// (a wrapper's banner) is skipped. Frames follow:
//
//	length  4 bytes, big endian: of what follows, 1 to MaxFrame
//	type    1 byte
//	fields  in the order of the message's struct
//
// Fields are canonical, so that equal messages are equal bytes: numbers are
// unsigned varints of minimal length, times are nanoseconds since 1970 (0 for
// none), texts and bytes follow their length, lists follow their count, flags
// are one byte 0 or 1, digests are 32 bytes. A frame with anything left over
// or in another form is refused. Lengths and counts are compared with the
// bytes at hand before memory is taken.
//
//	laptop                                agent
//	HELLO versions, role, session    →
//	                                 ←    WELCOME what the pod holds, or REFUSED
//	PREPARE difference (1..n frames) →
//	                                 ←    STAGED, or NEED contents, or REFUSED
//	COMMIT generation, action        →
//	                                 ←    RUNNING receipt, or NEED, or REFUSED
//	                                 ←    EXITED whenever the process ends
//	                                 ←    NOTICE a word for people
//	VERIFY                           →
//	                                 ←    VERIFIED digest, differing paths
//	PING                             →
//	                                 ←    PONG
//
// Contents are pushed with PREPARE, without asking first: both ends know which
// tree the other holds. To a lone rank COMMIT follows in the same piece, so
// that a save costs one round trip; a gang's COMMIT waits for every STAGED.
// NEED is the exception: something in the pod wrote to a file of the tree that
// the difference builds on.
//
// A stream that breaks is not repaired: the laptop opens another, WELCOME
// says what the pod holds, and only the difference to it is sent.
package wire
