// Package wire is the protocol between the laptop and the agent in a pod:
// frames on a byte stream, each a length, a type and a payload. Both ends
// begin with Magic, because a wrapper may print on the stream before us, and
// with a HELLO that carries the range of versions they speak.
//
// A frame is: length of what follows (4 bytes, big endian, at most MaxFrame),
// type (1 byte), payload. Payloads are JSON but for CONTENT, which is:
// SHA-256 of the content (32 bytes), encoding (1), SHA-256 of the dictionary
// (32, zero without one), more (1: further frames follow), bytes.
//
// The laptop sends PREPARE, CONTENT…, STAGE; the agent answers NEED or STAGED
// or REFUSED. COMMIT is answered by RUNNING, VERIFY by VERIFIED, PING by PONG.
// EXITED comes when a process ends by itself.
package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Version is the version of the protocol that this end speaks.
const Version = 1

// Magic opens each direction of a stream.
const Magic = "\x00kubectl-ai/1\n"

// MaxFrame bounds a frame, in bytes, before memory is taken for it.
const MaxFrame = 16 << 20

// MaxPart bounds the bytes of one CONTENT frame.
const MaxPart = 1 << 20

// HeartbeatEvery is how often the laptop sends PING. An end that has read
// nothing for HeartbeatLost takes the other for gone.
const (
	HeartbeatEvery = 5 * time.Second
	HeartbeatLost  = 15 * time.Second
)

// Type is the type of a frame. The values never change their meaning.
type Type byte

// The types of frames.
const (
	TypeHello    Type = 1
	TypePrepare  Type = 2
	TypeContent  Type = 3
	TypeStage    Type = 4
	TypeNeed     Type = 5
	TypeStaged   Type = 6
	TypeRefused  Type = 7
	TypeCommit   Type = 8
	TypeRunning  Type = 9
	TypeExited   Type = 10
	TypeVerify   Type = 11
	TypeVerified Type = 12
	TypePing     Type = 13
	TypePong     Type = 14
)

// Hello opens a stream. The agent fills what it is and holds.
type Hello struct {
	MinVersion int    `json:"minVersion"`
	Version    int    `json:"version"`
	Client     string `json:"client,omitempty"`   // who asks, for the one refused later
	Observer   bool   `json:"observer,omitempty"` // only verifies, so it may join a client

	Pod        string      `json:"pod,omitempty"`
	PodUID     string      `json:"podUID,omitempty"`
	Container  string      `json:"container,omitempty"`
	Generation uint64      `json:"generation,omitempty"` // committed; 0: none
	Digest     tree.Digest `json:"digest"`
	Receipt    *Receipt    `json:"receipt,omitempty"` // of the process that runs
}

// Prepare announces a generation: what changes from the tree with digest Base
// (zero: from nothing) to the tree with digest Root.
type Prepare struct {
	Generation uint64       `json:"generation"`
	Base       tree.Digest  `json:"base"`
	Root       tree.Digest  `json:"root"`
	Puts       []tree.Entry `json:"puts,omitempty"`
	Deletes    []string     `json:"deletes,omitempty"`
}

// Need lists contents that the agent does not have; CONTENT… and STAGE follow.
type Need struct {
	Sums [][32]byte `json:"sums"`
}

// Staged says that the whole tree is on disk and has this digest there.
type Staged struct {
	Generation uint64      `json:"generation"`
	Digest     tree.Digest `json:"digest"`
}

// Codes of a refusal.
const (
	CodeBase    = "base"    // the agent does not hold the base tree
	CodeBusy    = "busy"    // another client is connected; Message names it
	CodeVersion = "version" // no common version
	CodeDigest  = "digest"  // what is on disk is not what was announced
	CodeNoSpace = "noSpace" // the volume is full
	CodeInvalid = "invalid" // the message cannot be followed
	CodeIO      = "io"      // the pod's file system failed
)

// Refused says why the last message was not followed. It is an error.
type Refused struct {
	Generation uint64 `json:"generation,omitempty"`
	Code       string `json:"code"`
	Message    string `json:"message"`
}

func (r *Refused) Error() string { return r.Message }

// Commit makes a staged generation the one that runs.
type Commit struct {
	Generation uint64 `json:"generation"`
}

// Exited says that the process of a generation ended by itself.
type Exited struct {
	Generation uint64 `json:"generation"`
	PID        int    `json:"pid"`
	Code       int    `json:"code"` // 128 + signal for a signal, as shells say it
	Message    string `json:"message,omitempty"`
}

// Difference is a path of a generation that is not on disk as it should be.
type Difference struct {
	Path string `json:"path"`
	What string `json:"what"` // changed, missing
}

// Verified is what the agent found on disk.
type Verified struct {
	Generation  uint64       `json:"generation"`
	Digest      tree.Digest  `json:"digest"` // of what is on disk
	Differences []Difference `json:"differences,omitempty"`
}

// Receipt proves what a rank runs.
type Receipt struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Generation uint64      `json:"generation"`
	TreeDigest tree.Digest `json:"treeDigest"`
	Pod        string      `json:"pod"`
	PodUID     string      `json:"podUID"`
	Container  string      `json:"container"`
	Rank       int         `json:"rank"` // -1: the pod carries no number
	PID        int         `json:"pid"`
	CWD        string      `json:"cwd"`        // as the kernel sees it
	ArgvDigest string      `json:"argvDigest"` // SHA-256 of argv, zero-separated
	Received   time.Time   `json:"received"`
	Committed  time.Time   `json:"committed"`
	Running    time.Time   `json:"running"`
}

// Encodings of content.
const (
	EncodingRaw  byte = 0
	EncodingZstd byte = 1
)

// Content is a part of a file's content.
type Content struct {
	Sum      [32]byte
	Encoding byte
	Base     [32]byte // content that serves as dictionary; zero: none
	More     bool
	Bytes    []byte
}

const contentHeader = 32 + 1 + 32 + 1

// Frame is what was read: its type and payload.
type Frame struct {
	Type    Type
	Payload []byte
}

// Decode reads the payload as JSON.
func (f Frame) Decode(v any) error {
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return fmt.Errorf("decode frame of type %d: %w", f.Type, err)
	}
	return nil
}

// Content reads the payload of a CONTENT frame.
func (f Frame) Content() (Content, error) {
	if len(f.Payload) < contentHeader {
		return Content{}, fmt.Errorf("content frame of %d bytes is too short", len(f.Payload))
	}
	c := Content{Encoding: f.Payload[32], More: f.Payload[65] == 1, Bytes: f.Payload[contentHeader:]}
	copy(c.Sum[:], f.Payload)
	copy(c.Base[:], f.Payload[33:])
	return c, nil
}

// Conn is one end of a stream. One goroutine reads; any may write.
type Conn struct {
	r *bufio.Reader

	mu sync.Mutex // guards w
	w  *bufio.Writer
}

// NewConn frames a stream. It sends Magic at once, with the first flush.
func NewConn(rw io.ReadWriter) *Conn {
	c := &Conn{r: bufio.NewReaderSize(rw, 64<<10), w: bufio.NewWriterSize(rw, 64<<10)}
	_, _ = c.w.WriteString(Magic)
	return c
}

// ErrNoMagic says that the other end is not an agent or not a client.
var ErrNoMagic = errors.New("the other end does not speak this protocol")

// noise bounds what may stand before Magic.
const noise = 64 << 10

// Accept reads up to the end of the other side's Magic.
func (c *Conn) Accept() error {
	var seen []byte
	for len(seen) < noise {
		b, err := c.r.ReadByte()
		if err != nil {
			return err
		}
		seen = append(seen, b)
		if bytes.HasSuffix(seen, []byte(Magic)) {
			return nil
		}
	}
	return ErrNoMagic
}

// Read returns the next frame.
func (c *Conn) Read() (Frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return Frame{}, err
	}
	size := binary.BigEndian.Uint32(head[:4])
	if size < 1 || size > MaxFrame {
		return Frame{}, fmt.Errorf("frame of %d bytes: want 1 to %d", size, MaxFrame)
	}
	f := Frame{Type: Type(head[4]), Payload: make([]byte, size-1)}
	if _, err := io.ReadFull(c.r, f.Payload); err != nil {
		return Frame{}, err
	}
	return f, nil
}

// Write sends a message as JSON, and what was written before it.
func (c *Conn) Write(t Type, v any) error { return c.write(t, v, true) }

// Queue is Write without sending yet.
func (c *Conn) Queue(t Type, v any) error { return c.write(t, v, false) }

func (c *Conn) write(t Type, v any, flush bool) error {
	var payload []byte
	if v != nil {
		var err error
		if payload, err = json.Marshal(v); err != nil {
			return err
		}
	}
	return c.frame(t, flush, payload)
}

// QueueContent sends a file's encoded content in parts, without flushing.
func (c *Conn) QueueContent(content Content) error {
	rest := content.Bytes
	for {
		part := rest[:min(len(rest), MaxPart)]
		rest = rest[len(part):]
		head := make([]byte, contentHeader)
		copy(head, content.Sum[:])
		head[32] = content.Encoding
		copy(head[33:], content.Base[:])
		if len(rest) > 0 {
			head[65] = 1
		}
		if err := c.frame(TypeContent, false, head, part); err != nil {
			return err
		}
		if len(rest) == 0 {
			return nil
		}
	}
}

func (c *Conn) frame(t Type, flush bool, parts ...[]byte) error {
	size := 1
	for _, p := range parts {
		size += len(p)
	}
	if size > MaxFrame {
		return fmt.Errorf("frame of %d bytes: want at most %d", size, MaxFrame)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var head [5]byte
	binary.BigEndian.PutUint32(head[:4], uint32(size))
	head[4] = byte(t)
	if _, err := c.w.Write(head[:]); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := c.w.Write(p); err != nil {
			return err
		}
	}
	if flush {
		return c.w.Flush()
	}
	return nil
}

// Common returns the version that two ends speak, or 0.
func Common(a, b Hello) int {
	v := min(a.Version, b.Version)
	if v < a.MinVersion || v < b.MinVersion {
		return 0
	}
	return v
}
