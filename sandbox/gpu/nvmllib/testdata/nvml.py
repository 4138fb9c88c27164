"""A small binding of NVML in the manner of pynvml, for the scripts beside it."""
import ctypes as c
import json
import sys

LIB = c.CDLL("libnvidia-ml.so.1")
SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND, INSUFFICIENT_SIZE = 0, 1, 2, 3, 6, 7
DRIVER_NOT_LOADED, TIMEOUT, GPU_IS_LOST, VERSION_MISMATCH, DEPRECATED = 9, 10, 15, 25, 26


class Error(Exception):
    def __init__(self, code):
        LIB.nvmlErrorString.restype = c.c_char_p
        super().__init__(LIB.nvmlErrorString(code).decode())
        self.code = code


def call(name, *args):
    """Call a function by its name and raise what it answers but success."""
    code = getattr(LIB, name)(*args)
    if code != SUCCESS:
        raise Error(code)


def code(name, *args):
    return getattr(LIB, name)(*args)


def handle(name, *args):
    out = c.c_void_p()
    call(name, *args, c.byref(out))
    return out


def number(name, *args, kind=c.c_uint):
    out = kind()
    call(name, *args, c.byref(out))
    return out.value


def text(name, *args, size=96):
    out = c.create_string_buffer(size)
    call(name, *args, out, c.c_uint(size))
    return out.value.decode()


def struct(name, device, fields, version=None):
    """Fill a struct of these (name, type) pairs and return it."""
    cls = type("Struct", (c.Structure,), {"_fields_": fields})
    out = cls()
    if version is not None:
        out.version = version << 24 | c.sizeof(cls)
    call(name, device, c.byref(out))
    return {n: getattr(out, n) for n, _ in fields}


PROCESS = [("pid", c.c_uint), ("usedGpuMemory", c.c_ulonglong), ("gpuInstanceId", c.c_uint), ("computeInstanceId", c.c_uint)]


def processes(name, device):
    """As pynvml asks: how many, then with room for more than that."""
    count = c.c_uint(0)
    got = code(name, device, c.byref(count), None)
    if got == SUCCESS:
        return []
    if got != INSUFFICIENT_SIZE:
        raise Error(got)
    cls = type("Process", (c.Structure,), {"_fields_": PROCESS})
    count.value = count.value * 2 + 5
    array = (cls * count.value)()
    call(name, device, c.byref(count), array)
    return [{n: getattr(p, n) for n, _ in PROCESS} for p in array[: count.value]]


def optional(f, *args, **kwargs):
    """None where the device has no such thing, as programs show N/A."""
    try:
        return f(*args, **kwargs)
    except Error as e:
        if e.code != NOT_SUPPORTED:
            raise
        return None


def gpus():
    return [handle("nvmlDeviceGetHandleByIndex_v2", i) for i in range(number("nvmlDeviceGetCount_v2"))]


def show(result):
    print(json.dumps(result), flush=True)


def meanwhile():
    """Wait until the test has changed the state."""
    sys.stdin.readline()
