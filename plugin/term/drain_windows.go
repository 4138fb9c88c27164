package term

import (
	"os"

	"golang.org/x/sys/windows"
)

// drain forgets what was typed on a console and not read. Where that cannot
// be, it stays.
func drain(console *os.File) { _ = windows.FlushConsoleInputBuffer(windows.Handle(console.Fd())) }
