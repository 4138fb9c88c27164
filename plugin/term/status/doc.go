// Package status keeps one line at the bottom of a terminal, with everything
// else that is written scrolling by above it, and reads single keys meanwhile.
//
// Invariants:
//   - What is above scrolls into the terminal's own history, whole: a long line
//     wraps as it would without a status line, so that it can be copied.
//   - The status line takes one row, and the cursor waits in its first column.
//     A terminal that wraps its rows anew after a resize keeps the cursor with
//     its cell, so that "erase from here to the end" is right at every width.
//   - Nothing that is written above moves the cursor: of control sequences
//     colours alone pass.
//   - Ctrl-C and Ctrl-Z stay signals, and newlines stay newlines: only echo and
//     line editing are off, so that whatever a crash prints can be read.
//   - Close gives the terminal back as it was; until then a process that is
//     stopped or sent to the background leaves it alone.
package status
