# kubectl ai: imports modules once, and forks a process for each run.
#
# Runs on the container's own interpreter, Python 3.7 or later, started with
# the interpreter options of the command that it stands for. doc.go describes
# what it reads and writes, and what a run is. sys.argv is "-c", the control
# socket, the folder of the code, how many modules, these, and the command's
# arguments, which only the process list reads.
import sys

STARTUP = frozenset(sys.modules)  # what any run has loaded before its program

import _socket
import builtins
import gc
import os
import time

PLACES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")
SAFE_PATH = bool(getattr(sys.flags, "safe_path", False) or sys.flags.isolated)


class No(Exception):
    """Why a run has to start cold."""


def text(reason):
    return " ".join(str(reason).split())[:1000].encode("utf-8", "backslashreplace")


def below(path, folder):
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def threads():
    """Names the native threads beside this one."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open("/proc/self/task/%s/comm" % task) as f:
                found.append(f.read().strip())
        except OSError:
            pass  # it ended meanwhile
    return found[1:]


def preload(names):
    for name in names:
        try:
            __import__(name)
        except BaseException as e:  # SystemExit as well
            raise No("import %s: %s: %s" % (name, type(e).__name__, e))


def lies_in(module, mount):
    """Returns the file of a module that lies in the code."""
    try:
        names = vars(module)
        places = [names.get("__file__")] + list(names.get("__path__") or [])
    except Exception:
        return None  # no ordinary module
    for place in places:
        if isinstance(place, str) and (below(place, mount) or below(os.path.realpath(place), mount)):
            return place
    return None


def check_modules(mount):
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        raise No("a preloaded module initialised CUDA")
    for fd in os.listdir("/proc/self/fd"):
        try:
            place = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            continue
        if place.startswith(PLACES):
            raise No("a preloaded module opened %s, which a fork cannot share" % place)
    for name, module in list(sys.modules.items()):
        place = lies_in(module, mount)
        if place:
            raise No("preloaded module %s lies in the code, at %s" % (name, place))
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        raise No("preloaded modules started threads: " + ", ".join(t.name for t in threading.enumerate()[1:]))


def check_fork():
    """Forks once. Libraries that can be forked, such as OpenBLAS, stop their
    threads for it (pthread_atfork); what is left would be lost in a child."""
    pid = os.fork()
    if pid == 0:
        # torch knows that CUDA was asked how many GPUs there are, after which
        # a child cannot use them.
        cuda = getattr(sys.modules.get("torch"), "cuda", None)
        poisoned = getattr(cuda, "_is_in_bad_fork", bool)
        os._exit(1 if poisoned() else 0)
    for _ in range(200):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.01)
    else:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        raise No("a fork of the preloaded modules hangs")
    if status:
        raise No("a preloaded module used CUDA, which a fork cannot")
    for _ in range(100):
        left = threads()
        if not left:
            return
        time.sleep(0.01)
    raise No("preloaded modules started threads that a fork does not stop: " + ", ".join(left))


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def spare(control, channel):
    """Forks a spare that keeps a channel, as an orphan. True in the spare."""
    flush()
    r, w = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            pid = os.fork()
            if pid:
                os.setpgid(pid, pid)
                os.write(w, b"%d" % pid)
        except OSError:
            pid = -1
        if pid:
            os._exit(0)
        os.close(r)
        os.close(w)
        control.close()
        return True
    os.close(w)
    os.close(channel)
    pid = os.read(r, 32)
    os.close(r)
    os.waitpid(between, 0)
    control.sendall(b"spare " + pid + b"\n" if pid else b"no it cannot fork\n")
    return False


def set_environment(entries):
    wanted = {}
    for entry in entries:
        name, equals, value = entry.partition(b"=")
        if name and equals:
            wanted.setdefault(name, value)  # the first counts, as for getenv
    for name in list(os.environb):
        if name not in wanted:
            del os.environb[name]
    for name, value in wanted.items():
        if os.environb.get(name) != value:
            os.environb[name] = value


def check_hidden(mount):
    """Says when a run would import a file of the code, not what is loaded."""
    names = {name for name in sys.modules if "." not in name}
    names -= STARTUP
    names -= frozenset(sys.builtin_module_names)
    names |= {"sitecustomize", "usercustomize"} - STARTUP
    places = [p for p in sys.path if below(os.path.realpath(p), mount)]
    for place in places if SAFE_PATH else sys.path[:1] + places:
        try:
            entries = os.listdir(place or ".")
        except OSError:
            continue
        for entry in entries:
            name, _, ending = entry.partition(".")
            if name not in names:
                continue
            full = os.path.join(place, entry)
            if ending.endswith(("py", "pyc", "so")) or os.path.isfile(full + "/__init__.py"):
                raise No("%s stands before the module %s, which is loaded already" % (full, name))


def renew():
    """Gives modules anew what they took when they were imported."""
    sys.path_importer_cache.clear()
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes.ORIGINAL_DIR = os.getcwd()
        processes.current_process().authkey = os.urandom(32)
    logging = sys.modules.get("logging")
    if logging is not None:
        logging._startTime = time.time_ns() if isinstance(logging._startTime, int) else time.time()
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed()


def read_script(program):
    try:
        if not os.path.isfile(program):
            raise No("%s is no file" % program)
        with open(program, "rb") as f:
            source = f.read()
    except OSError as e:
        raise No(e)
    if b"\0" in source:
        raise No("%s is no source: an archive, or bytecode" % program)
    return source


def prepare(fields, mount, home):
    """Makes this process what the run's would be. Returns what to run."""
    kind, program = fields[1].decode(), os.fsdecode(fields[2])
    count = int(fields[3])
    args = [os.fsdecode(a) for a in fields[4 : 4 + count]]
    try:
        os.chdir(fields[0])
    except OSError as e:
        raise No(e)
    set_environment(fields[4 + count :])
    if hasattr(sys, "pycache_prefix") and "pycache_prefix" not in sys._xoptions and not sys.flags.ignore_environment:
        sys.pycache_prefix = os.environ.get("PYTHONPYCACHEPREFIX") or None
    here = os.getcwd()
    sys.path[:] = [here + p[len(home) :] if below(p, home) else p for p in sys.path]
    source = None
    if kind == "script":
        sys.argv, first = [program] + args, os.path.dirname(os.path.realpath(program))
        source = read_script(program)
    elif kind == "module":
        sys.argv, first = ["-m"] + args, here
    else:
        sys.argv, first = ["-c"] + args, ""
        source = program
    if not SAFE_PATH:
        sys.path.insert(0, first)
    check_hidden(mount)
    renew()
    return kind, program, source


def await_run(channel, mount, home):
    def read(size):
        parts = []
        while size > 0:
            part = os.read(channel, size)
            if not part:
                os._exit(0)  # nobody needs this spare
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    size = b""
    while not size.endswith(b"\n"):
        size += read(1)
    try:
        found = prepare(read(int(size)).split(b"\0"), mount, home)
    except BaseException as e:
        os.write(channel, b"no " + text(e if isinstance(e, No) else repr(e)) + b"\n")
        os._exit(1)
    try:
        os.write(channel, b"ok\n")
    except OSError:
        os._exit(1)
    os.close(channel)
    return found


def serve():
    """Returns what to run, in the process that is to run it."""
    os.close(3)
    control = _socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    mount, home, count = os.path.realpath(sys.argv[2]), os.getcwd(), int(sys.argv[3])
    names = sys.argv[4 : 4 + count]
    sys.argv = sys.argv[4 + count :]
    if not SAFE_PATH:
        del sys.path[0]  # of -c
    try:
        preload(names)
        flush()
        check_modules(mount)
        gc.collect()
        check_fork()
    except No as e:
        control.sendall(b"no " + text(e) + b"\n")
        os._exit(1)
    gc.freeze()
    control.sendall(b"ready\n")
    while True:
        data, extra, _, _ = control.recvmsg(1, _socket.CMSG_SPACE(4))
        if not data:
            os._exit(0)  # the agent is gone
        channel = int.from_bytes(extra[0][2][:4], sys.byteorder)
        if spare(control, channel):
            return await_run(channel, mount, home)


def run(kind, program, source):
    space = sys.modules["__main__"].__dict__
    try:
        if kind == "module":
            import runpy

            runpy._run_module_as_main(program)
            return
        name = "<string>"
        if kind == "script":
            name = program
            if sys.version_info >= (3, 9) and not os.path.isabs(name):
                name = os.getcwd() + "/" + name
            space["__file__"] = name
            space["__cached__"] = None
            loader = sys.modules["_frozen_importlib_external"].SourceFileLoader
            space["__loader__"] = loader("__main__", name)
        program = compile(source, name, "exec", dont_inherit=True)
        if kind == "code" and sys.version_info >= (3, 13):
            # The interpreter does so, for tracebacks.
            import linecache

            lines = [line + "\n" for line in source.splitlines()]
            linecache.cache[name] = (len(source), None, lines, name)
        exec(program, space)
    except SystemExit:
        raise
    except BaseException as e:
        # The interpreter reports it, with what is ours cut off the traceback.
        hook, own, shown = sys.excepthook, e, e.__traceback__.tb_next

        def report(kind, value, traceback):
            sys.excepthook = hook
            if value is own:
                value.__traceback__ = traceback = shown
            hook(kind, value, traceback)

        sys.excepthook = report
        raise


run(*serve())
