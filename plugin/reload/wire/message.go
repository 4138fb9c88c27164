package wire

import (
	"fmt"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Versions of the protocol that this code speaks. Version 1 framed JSON; in
// version 2 every COMMIT restarted the process.
const (
	MinVersion = 3
	MaxVersion = 3
)

// The laptop sends PING every HeartbeatEvery. An end that has heard nothing
// for HeartbeatLost, three of them, takes the other for gone.
const (
	HeartbeatEvery = 5 * time.Second
	HeartbeatLost  = 15 * time.Second
)

// Heartbeat says how an end notices that the other is gone. The zero value
// stands for the times above.
type Heartbeat struct {
	Every time.Duration // between two PINGs of the laptop
	Lost  time.Duration // without a frame, until the other end counts as gone
}

// OrDefault returns h with the times above where it has none.
func (h Heartbeat) OrDefault() Heartbeat {
	if h.Every == 0 {
		h.Every = HeartbeatEvery
	}
	if h.Lost == 0 {
		h.Lost = HeartbeatLost
	}
	return h
}

// Type is a message's first byte. The values never change their meaning.
type Type byte

// The types.
const (
	TypeHello Type = iota + 1
	TypeWelcome
	TypePrepare
	TypeStaged
	TypeNeed
	TypeRefused
	TypeCommit
	TypeRunning
	TypeExited
	TypeNotice
	TypeVerify
	TypeVerified
	TypePing
	TypePong
)

var typeNames = [...]string{"", "HELLO", "WELCOME", "PREPARE", "STAGED", "NEED", "REFUSED", "COMMIT", "RUNNING", "EXITED", "NOTICE", "VERIFY", "VERIFIED", "PING", "PONG"}

func (t Type) String() string {
	if int(t) < len(typeNames) && t > 0 {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", byte(t))
}

// Message is one of the structs of this package.
type Message interface {
	Type() Type
	encode(*encoder)
	decode(*decoder)
}

func newMessage(t Type) Message {
	switch t {
	case TypeHello:
		return new(Hello)
	case TypeWelcome:
		return new(Welcome)
	case TypePrepare:
		return new(Prepare)
	case TypeStaged:
		return new(Staged)
	case TypeNeed:
		return new(Need)
	case TypeRefused:
		return new(Refused)
	case TypeCommit:
		return new(Commit)
	case TypeRunning:
		return new(Running)
	case TypeExited:
		return new(Exited)
	case TypeNotice:
		return new(Notice)
	case TypeVerify:
		return new(Verify)
	case TypeVerified:
		return new(Verified)
	case TypePing:
		return new(Ping)
	case TypePong:
		return new(Pong)
	}
	return nil
}

// Role is what a client wants to do.
type Role byte

// Roles.
const (
	Owner    Role = 1 // publishes; one at a time
	Observer Role = 2 // asks and verifies; any number
)

// Hello opens the laptop's side.
type Hello struct {
	Min, Max uint64 // versions spoken
	Role     Role
	Session  string // random; a later stream of the same one takes over
	Owner    string // for people: who holds the rank
}

// Welcome answers Hello: what the pod holds.
type Welcome struct {
	Version    uint64 // that both sides speak from now on
	Pod        string
	PodUID     string
	Container  string
	Generation uint64      // committed; 0: none
	Digest     tree.Digest // of the committed generation
	Receipt    *Receipt    // of its process; nil when none was started
}

// Prepare carries the difference between the tree that the pod holds and the
// next generation, in one or more frames with the same Generation, Base and
// Root. Deletes and puts of all frames add up.
type Prepare struct {
	Generation uint64
	Base       tree.Digest // zero: the empty tree
	Root       tree.Digest // of the result
	More       bool        // another frame of the same generation follows
	Again      bool        // contents that NEED asked for: the puts are in the difference already
	Alone      bool        // COMMIT follows at once: the rank's word on the code may come after STAGED
	Deletes    []string
	Puts       []Put
}

// Put is a file or link of the next generation, or a part of one.
type Put struct {
	Path   string
	Kind   tree.Kind
	Size   int64
	Sum    [32]byte
	Target string   // of a link
	Have   bool     // no content here: the pod may hold it, by Sum
	Base   [32]byte // content that parts refer to; zero: none do
	Offset int64    // where in the file Parts begin; the rest is in other frames
	Parts  []Part
}

// Op is how a part gives its bytes.
type Op byte

// Ops.
const (
	Raw  Op = 1 // Data is the bytes
	Zstd Op = 2 // Data is a zstd frame
	Copy Op = 3 // the bytes are Base[Offset:Offset+Size]
	Dict Op = 4 // Data is a zstd frame, Base[Offset:Offset+Extent] its dictionary
)

// MaxPart is the most bytes that a part other than Copy may unfold to, and
// the largest dictionary.
const MaxPart = 1 << 20

// MaxFile bounds one file of a tree, in bytes.
const MaxFile = 256 << 20

// Part is a run of a file's bytes.
type Part struct {
	Op     Op
	Size   int64 // bytes that it unfolds to
	Offset int64 // in Base, for Copy and Dict
	Extent int64 // in Base, for Dict
	Data   []byte
}

// Staged says that a generation is complete on disk and has this digest.
type Staged struct {
	Generation uint64
	Digest     tree.Digest
}

// Need asks for contents, by sum, before the generation can be staged; the
// laptop sends them in further PREPARE frames. Without sums the base is
// missing, and the laptop begins again from the empty tree.
type Need struct {
	Generation uint64
	Sums       [][32]byte
}

// Action is what a COMMIT does to a process that runs. A rank without one
// starts it.
type Action byte

// Actions, the stronger ones later.
const (
	Keep    Action = 1 // the process runs on and is told nothing
	Signal  Action = 2 // the process runs on and its group gets signals
	Restart Action = 3 // the process makes way for one in the new generation
)

// Stronger returns the stronger of two actions.
func (a Action) Stronger(b Action) Action { return max(a, b) }

// Commit makes a staged generation the current one.
type Commit struct {
	Generation uint64
	Action     Action
	Signals    []string // names without SIG, for Signal; a process that has ended is started in their stead
	// Run is the same text on all ranks and new for each start of the gang:
	// their rendezvous.
	Run string
	// Pipelined: sent before STAGED was seen; silently dropped when the
	// generation could not be staged.
	Pipelined bool
}

// Running says that the generation's process runs.
type Running struct{ Receipt Receipt }

// Exited says that the process has ended by itself, or could not be started.
type Exited struct {
	Generation uint64
	PID        int
	Code       int // 128 + signal for a signal, as shells say it
	Message    string
}

// Notice is a word of the agent's for people, such as that its volume fills.
type Notice struct{ Text string }

// Verify asks for a digest computed from the files on disk.
type Verify struct{}

// Verified answers Verify.
type Verified struct {
	Generation  uint64
	Digest      tree.Digest // as it is on disk
	Total       int         // paths that differ; Differences may be shorter
	Differences []Difference
}

// Difference is a path whose state on disk is not what was staged.
type Difference struct {
	Path string `json:"path"`
	What string `json:"what"` // changed, missing
}

// MaxDifferences bounds the list in Verified.
const MaxDifferences = 1000

// Ping asks for Pong.
type Ping struct{}

// Pong answers Ping.
type Pong struct{}
