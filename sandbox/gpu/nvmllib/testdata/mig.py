"""MIG devices as DCGM, Ray and nvitop walk through them."""
from nvml import *

call("nvmlInit_v2")
result = []
for d in gpus():
    current, pending = c.c_uint(), c.c_uint()
    call("nvmlDeviceGetMigMode", d, c.byref(current), c.byref(pending))
    gpu = {"uuid": text("nvmlDeviceGetUUID", d), "enabled": current.value, "most": number("nvmlDeviceGetMaxMigDeviceCount", d), "mig": [],
           "utilization": optional(struct, "nvmlDeviceGetUtilizationRates", d, [("gpu", c.c_uint), ("memory", c.c_uint)]),
           "processes": [(p["pid"], p["gpuInstanceId"]) for p in processes("nvmlDeviceGetComputeRunningProcesses_v3", d)]}
    for i in range(gpu["most"]):
        m = c.c_void_p()
        got = code("nvmlDeviceGetMigDeviceHandleByIndex", d, i, c.byref(m))
        if got == NOT_FOUND:
            continue
        assert got == SUCCESS, got
        uuid = text("nvmlDeviceGetUUID", m)
        assert number("nvmlDeviceIsMigDeviceHandle", m) == 1 and number("nvmlDeviceIsMigDeviceHandle", d) == 0
        assert handle("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", m).value == d.value
        assert handle("nvmlDeviceGetHandleByUUID", uuid.encode()).value == m.value
        a = struct("nvmlDeviceGetAttributes_v2", m, [(n, c.c_uint) for n in (
            "multiprocessors", "copy", "decoder", "encoder", "jpeg", "ofa", "gpuSlices", "computeSlices")] + [("memory", c.c_ulonglong)])
        gpu["mig"].append({
            "uuid": uuid, "name": text("nvmlDeviceGetName", m), "index": number("nvmlDeviceGetIndex", m), "attributes": a,
            "gi": number("nvmlDeviceGetGpuInstanceId", m), "ci": number("nvmlDeviceGetComputeInstanceId", m),
            "total": struct("nvmlDeviceGetMemoryInfo", m, [("total", c.c_ulonglong), ("free", c.c_ulonglong), ("used", c.c_ulonglong)])["total"],
            "temperature": optional(number, "nvmlDeviceGetTemperature", m, 0),
            "processes": [(p["pid"], p["gpuInstanceId"]) for p in processes("nvmlDeviceGetComputeRunningProcesses_v3", m)],
        })
    result.append(gpu)
show(result)
