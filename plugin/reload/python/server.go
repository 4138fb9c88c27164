package python

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// server is the process of fork.py.
type server struct {
	process *supervise.Process
	control *net.UnixConn
	lines   *bufio.Reader
}

// newServer starts the process; its arguments are in behind.
func newServer(spec supervise.Spec, behind []string, o Options) (*server, error) {
	control, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		_ = control.Close()
		return nil, err
	}
	defer func() { _ = null.Close() }()
	p, err := start(spec, forkSource, behind, null, o.Stdout, o.Stderr, theirs)
	if err != nil {
		_ = control.Close()
		return nil, err
	}
	return &server{process: p, control: control, lines: newLines(control)}, nil
}

// ready returns when the modules are imported, which may take minutes; else
// the process is gone.
func (s *server) ready() error {
	word, err := line(s.lines)
	if err == nil && word == "ready" {
		return nil
	}
	s.close()
	if err == nil {
		return said(word)
	}
	return fmt.Errorf("%s ended with %s while it imported", "the interpreter", ended(s.process))
}

// fork returns the next spare.
func (s *server) fork() (*spare, error) {
	channel, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	_ = s.control.SetDeadline(time.Now().Add(10 * forkWait))
	_, _, err = s.control.WriteMsgUnix([]byte{'f'}, unix.UnixRights(int(theirs.Fd())), nil)
	_ = theirs.Close()
	var word string
	if err == nil {
		word, err = line(s.lines)
	}
	if err == nil {
		if pid, ok := strings.CutPrefix(word, "spare "); ok {
			var number int
			if number, err = strconv.Atoi(pid); err == nil && number > 1 {
				return &spare{process: supervise.Adopt(number), channel: channel}, nil
			}
		}
		err = said(word)
	}
	_ = channel.Close()
	return nil, err
}

// said makes an error of what a helper said in place of yes.
func said(word string) error {
	if why, ok := strings.CutPrefix(word, "no "); ok {
		return errors.New(why)
	}
	return fmt.Errorf("%w: %q", errTalk, word)
}

func (s *server) kill() { s.process.Stop(syscall.SIGKILL, 0) }

func (s *server) close() {
	_ = s.control.Close()
	s.kill()
}

// spare is a forked process that waits for what to run.
type spare struct {
	process *supervise.Process
	channel *net.UnixConn
}

// begin makes the spare run a command. After an error it is to be closed: it
// may run.
func (s *spare) begin(c command, spec supervise.Spec) error {
	fields := []string{spec.Dir, string(c.kind), c.program, strconv.Itoa(len(c.args))}
	fields = append(append(fields, c.args...), spec.Env...)
	body := strings.Join(fields, "\x00")
	_ = s.channel.SetDeadline(time.Now().Add(forkWait))
	_, err := fmt.Fprintf(s.channel, "%d\n%s", len(body), body)
	var word string
	if err == nil {
		word, err = line(newLines(s.channel))
	}
	switch {
	case err != nil:
		return fmt.Errorf("a forked process does not begin: %w", err)
	case word != "ok":
		return said(word)
	}
	_ = s.channel.Close()
	return nil
}

func (s *spare) close() {
	_ = s.channel.Close()
	s.process.Stop(syscall.SIGKILL, 0)
}

// pair returns the ends of a connection: ours, and one for a child.
func pair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	file := os.NewFile(uintptr(fds[0]), "ours")
	defer func() { _ = file.Close() }()
	conn, err := net.FileConn(file)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}
