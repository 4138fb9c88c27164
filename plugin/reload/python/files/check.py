# kubectl ai: says which changed Python files would not compile.
#
# Runs for as long as the agent, on the container's own interpreter, Python
# 3.7 or later. It imports nothing but what is built into every CPython.
# doc.go describes what it reads and writes.
import posix
import sys

# Bytes of a file. Measured with 3.11: a MiB takes 0.4 s and 160 MB to compile,
# 4 MiB take longer than the agent waits.
LARGEST = 1 << 20
HEAVIEST = 64 << 20  # bytes of memory after which another process goes on


def source(path):
    """Returns the bytes of a regular file; None: there is nothing to check."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None  # deleted, a link, or not ours to read
    try:
        status = posix.fstat(fd)
        if status.st_mode & 0o170000 != 0o100000 or status.st_size > LARGEST:
            return None
        parts, size = [], 0
        while size <= LARGEST:
            part = posix.read(fd, 1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        return None
    except OSError:
        return None
    finally:
        posix.close(fd)


def problem(path):
    """Returns line, column and message of a file's first syntax error."""
    text = source(path)
    if text is None:
        return None
    try:
        # Bytes, so that the compiler follows the file's own encoding (PEP 263).
        compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as e:
        return e.lineno or 1, e.offset or 0, e.msg or "invalid syntax"
    except ValueError as e:
        # What earlier versions say of a zero byte.
        zero = text.find(b"\0")
        return text.count(b"\n", 0, max(zero, 0)) + 1, 0, str(e)
    except (MemoryError, OverflowError, RecursionError):
        pass  # too much for a check is not wrong
    return None


def answer(line):
    data = line.encode("utf-8", "backslashreplace") + b"\n"
    while data:
        data = data[posix.write(1, data):]


def read(size):
    parts = []
    while size > 0:
        part = posix.read(0, size)
        if not part:
            raise SystemExit  # the agent is gone
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def volunteer():
    """Where memory is short, let this process be the one that goes."""
    try:
        with open("/proc/self/oom_score_adj", "wb") as f:
            f.write(b"1000")
    except OSError:
        pass


def heavy():
    try:
        with open("/proc/self/statm", "rb") as f:
            pages = int(f.read().split()[1])
    except (OSError, ValueError):
        return False
    return pages * posix.sysconf("SC_PAGE_SIZE") > HEAVIEST


def serve():
    if sys.version_info < (3, 7):
        answer("no it is older than Python 3.7")
        return
    posix.close(3)
    volunteer()
    answer("ready %d.%d" % sys.version_info[:2])
    while True:
        size = b""
        while not size.endswith(b"\n"):
            size += read(1)
        number, before, folder, *paths = read(int(size)).split(b"\0")
        number = number.decode()
        for i, path in enumerate(paths):
            found = problem(folder + b"/" + path)
            if not found:
                continue
            # What did not compile before either is not what runs: a template,
            # a test of a parser.
            if before and problem(before + b"/" + path):
                continue
            line, column, message = found
            answer("%s %d %d %d %s" % (number, i, line, column, " ".join(message.split())[:500]))
        answer(number + " end")
        if heavy():
            return


serve()
