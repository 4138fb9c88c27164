// Package python knows how Python starts, so that a save starts better: a
// Checker refuses code that would not compile before anything stops, and a
// ForkServer forks a run from an interpreter that has its slow imports behind
// it. Both are processes of the container's own interpreter that live as long
// as the agent; no save waits for one to start, and where one is missing, slow
// or dead a save goes on as if there were no such thing.
//
// # The Checker's conversation
//
// files/check.py reads requests on descriptor 0 and answers on 1. First it
// says "ready 3.11", or "no" and why. A request is its length in decimal, a
// newline, and so many bytes, which hold, with a zero byte between them: the
// request's number; the folder of the tree that runs, empty for none; the
// folder of the tree that is to run; paths in both. The answers are lines:
//
//	<number> <index of the path> <line> <column> <message>
//	<number> end
//
// A file that does not compile in the tree that runs either is no error: it is
// not what runs, or what runs has failed already.
//
// # The ForkServer's conversation
//
// files/fork.py imports the modules and says "ready" on its control socket, or
// "no" and why. A byte on that socket, with a descriptor, makes it fork a
// spare, which keeps the descriptor, and say "spare <pid>". The spare is an
// orphan at once, and so a child of the agent like any run: the fork server
// may die, the run does not notice. It waits on its descriptor for a run: a
// length, a newline, and fields with a zero byte between them: the working
// directory; script, module or code; which; how many arguments; these; the
// environment. It answers "ok", closes the descriptor and runs, or answers
// "no" and why, and ends. So a run costs no fork while somebody waits.
//
// # What a forked run is
//
// It is what `python script.py` is: the same environment (but for what differs
// by generation, it has to be the one in which the modules were imported),
// arguments, working directory, sys.path, process group, parent, and
// descriptors; __main__ is the interpreter's own; exceptions, exit codes,
// atexit and signals are the interpreter's. Interpreter options are those of
// the command, since the fork server is started with them. It differs in this:
//
//   - imports that were preloaded have printed and logged what they do once,
//     when the fork server started;
//   - str hashes are seeded once (PYTHONHASHSEED), as are other caches of the
//     modules; random and numpy.random are seeded anew;
//   - stacks begin with a frame or two of the fork server, which tracebacks
//     do not show and sys._getframe does;
//   - /proc/<pid>/cmdline and environ are those of the fork server, with the
//     command's arguments behind;
//   - gc.freeze was called: what was preloaded is never collected.
//
// A run is started cold, and the agent's log says once why, where a fork could
// be something else than that: no Python, or options that end it or make it
// interactive; a program that is no regular file of source; an environment
// other than the fork server's; a preloaded module that fails, lies in the
// code, is hidden by a file of the code, has started threads that a fork does
// not stop (OpenBLAS stops its own), has initialised CUDA or opened a GPU.
package python
