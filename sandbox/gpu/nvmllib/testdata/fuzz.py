"""Call everything that reads the state, on files named on stdin."""
import os

from nvml import *

handles = {}  # by address: those of earlier files, too
for line in sys.stdin:
    os.replace(line.strip(), "state.bin")
    loaded = code("nvmlInit_v2")
    text_out, out, big = c.create_string_buffer(256), c.c_ulonglong(), c.create_string_buffer(4096)
    count = c.c_uint()
    code("nvmlDeviceGetCount_v2", c.byref(count))
    for i in range(count.value + 1):
        h = c.c_void_p()
        if code("nvmlDeviceGetHandleByIndex_v2", i, c.byref(h)) == 0:
            handles[h.value] = h
    for d in handles.values():
        for name in ("Name", "UUID", "Serial"):
            code("nvmlDeviceGet" + name, d, text_out, 256)
        for name in ("Index", "Architecture", "PowerUsage", "MemoryInfo", "UtilizationRates", "BAR1MemoryInfo", "PciInfo_v3", "MaxMigDeviceCount", "NumGpuCores"):
            code("nvmlDeviceGet" + name, d, big)
        room = c.c_uint(8)
        code("nvmlDeviceGetComputeRunningProcesses_v3", d, c.byref(room), big)
        code("nvmlDeviceGetMemoryAffinity", d, 4, big, 0)
        room = c.c_uint(512)
        code("nvmlDeviceGetSupportedGraphicsClocks", d, 2619, c.byref(room), big)
        status = c.c_uint()
        code("nvmlDeviceGetP2PStatus", d, next(iter(handles.values())), 2, c.byref(status))
        for i in range(8):
            m = c.c_void_p()
            if code("nvmlDeviceGetMigDeviceHandleByIndex", d, i, c.byref(m)) == 0:
                code("nvmlDeviceGetName", m, text_out, 256)
                code("nvmlDeviceGetMemoryInfo", m, big)
    if loaded == 0:
        code("nvmlShutdown")
    show(loaded)
