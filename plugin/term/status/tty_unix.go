//go:build linux || darwin

package status

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tty is the terminal that keys come from.
type tty struct {
	fd int

	mu     sync.Mutex   // held while the terminal is read or its mode changes
	saved  unix.Termios // how the terminal was
	taken  bool         // it is in our mode
	closed bool
}

// openTTY puts a terminal into the mode for single keys.
func openTTY(in *os.File) (*tty, error) {
	t := &tty{fd: int(in.Fd())}
	if !t.ours() {
		return nil, ErrUnfit
	}
	saved, err := unix.IoctlGetTermios(t.fd, getTermios)
	if err != nil {
		return nil, errors.Join(ErrUnfit, err)
	}
	t.saved = *saved
	return t, t.take()
}

// ours tells whether this process is in the terminal's foreground: any other
// is stopped when it changes or reads the terminal.
func (t *tty) ours() bool {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp() // err: it controls no process
}

// wait is how long a read waits for a key: one that blocks could not be ended.
const wait = 200 * time.Millisecond

// take switches echo and line editing off.
func (t *tty) take() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken || t.closed {
		return nil
	}
	mode := t.saved
	mode.Lflag &^= unix.ICANON | unix.ECHO
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 0, uint8(wait/(100*time.Millisecond))
	mode.Cc[unix.VQUIT] = disabled // it would leave the terminal like this
	if err := unix.IoctlSetTermios(t.fd, setTermios, &mode); err != nil {
		return errors.Join(ErrUnfit, err)
	}
	t.taken = true
	return nil
}

// release gives the terminal back until the next take.
func (t *tty) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.give()
}

// give gives the terminal back; the caller holds the mutex.
func (t *tty) give() {
	if t.taken && t.ours() {
		_ = unix.IoctlSetTermios(t.fd, setTermios, &t.saved)
	}
	t.taken = false
}

// restore gives the terminal back for good.
func (t *tty) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.give()
	t.closed = true // no take comes between
}

// serve reads keys until the line is closed, and follows the terminal's size
// and the shell's job control.
func (t *tty) serve(l *Line) {
	resized, stopped, continued := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	signal.Notify(stopped, syscall.SIGTSTP)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(resized)
	defer signal.Stop(stopped)
	defer signal.Stop(continued)
	resting := time.NewTicker(wait)
	defer resting.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-resized:
			l.redraw()
		case <-stopped:
			if session, err := unix.Getsid(0); err == nil && session == os.Getpid() {
				continue // no shell is there that could continue us
			}
			l.without(func() {
				t.release()
				// It goes on for a moment after the signal to itself: nothing
				// may be drawn until the shell has continued it.
				if syscall.Kill(os.Getpid(), syscall.SIGSTOP) == nil {
					<-continued
				}
			})
			l.redraw()
		case <-continued: // somebody else had stopped it, and the shell changed the terminal
			t.release()
			l.redraw()
		default:
		}
		if t.ours() && t.take() == nil {
			if t.read(l) {
				continue
			}
		}
		select { // in the background, or the terminal is gone
		case <-l.stop:
			return
		case <-resting.C:
		}
	}
}

// read waits for a key for a moment. It returns false where there is none to
// be had. A terminal that was given back is not read: it would keep us until
// somebody ends a line.
func (t *tty) read(l *Line) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.taken {
		return false
	}
	var keys [64]byte
	began := time.Now()
	n, err := unix.Read(t.fd, keys[:])
	if n == 0 && err == nil && time.Since(began) < wait/2 {
		return false // a terminal that was hung up says so at once, again and again
	}
	if n == 1 {
		select {
		case l.keys <- keys[0]:
		default:
		}
	}
	return err == nil || errors.Is(err, unix.EINTR)
}
