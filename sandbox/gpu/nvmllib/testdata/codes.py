"""What is answered before nvmlInit, to wrong arguments and to unknown functions."""
from nvml import *

out, count = c.c_uint(77), c.c_uint(0)
result = {"before": [code("nvmlDeviceGetCount_v2", c.byref(out)), code("nvmlShutdown"), code("nvmlDeviceSetPersistenceMode", None, 1),
                     code("nvmlDeviceGetTemperature", None, 0, c.byref(out))], "init": code("nvmlInit_v2")}
d = gpus()[0]
small = c.create_string_buffer(8)
version = type("Memory", (c.Structure,), {"_fields_": [("version", c.c_uint), ("rest", c.c_ulonglong * 4)]})()
result["arguments"] = {
    "count nowhere": code("nvmlDeviceGetCount_v2", None),
    "no such index": code("nvmlDeviceGetHandleByIndex_v2", 2, c.byref(c.c_void_p())),
    "no such uuid": code("nvmlDeviceGetHandleByUUID", b"GPU-00000000-0000-0000-0000-000000000000", c.byref(c.c_void_p())),
    "no such bus": code("nvmlDeviceGetHandleByPciBusId_v2", b"00000000:FF:00.0", c.byref(c.c_void_p())),
    "no bus": code("nvmlDeviceGetHandleByPciBusId_v2", b"nowhere", c.byref(c.c_void_p())),
    "no handle": code("nvmlDeviceGetTemperature", None, 0, c.byref(out)),
    "wild handle": code("nvmlDeviceGetTemperature", c.c_void_p(0x1234), 0, c.byref(out)),
    "no such sensor": code("nvmlDeviceGetTemperature", d, 9, c.byref(out)),
    "small buffer": code("nvmlDeviceGetName", d, small, 8),
    "wrong version": code("nvmlDeviceGetMemoryInfo_v2", d, c.byref(version)),
    "no mig": code("nvmlDeviceGetGpuInstanceId", d, c.byref(out)),
    "clocks": code("nvmlDeviceGetSupportedMemoryClocks", d, c.byref(count), None),
}
unset = c.c_uint(77)
result["unsupported"] = [code("nvmlDeviceGetFanSpeed", d, c.byref(unset)), code("nvmlDeviceSetPowerManagementLimit", d, 1),
                         code("nvmlVgpuInstanceGetUUID", 1, small, 8, c.byref(unset)), unset.value]
LIB.nvmlErrorString.restype = c.c_char_p
words = [LIB.nvmlErrorString(i).decode() for i in [*range(31), 999]]
result["words"] = len(set(words))
result["end"] = [code("nvmlInit_v2"), code("nvmlShutdown"), code("nvmlDeviceGetCount_v2", c.byref(out)), code("nvmlShutdown"),
                 code("nvmlDeviceGetCount_v2", c.byref(out))]
show(result)
