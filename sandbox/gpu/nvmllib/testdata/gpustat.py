"""gpustat: what it shows of each GPU (gpustat/core.py)."""
from nvml import *



def engine(name, d):
    utilization, period = c.c_uint(), c.c_uint()
    call(name, d, c.byref(utilization), c.byref(period))
    return utilization.value


call("nvmlInit_v2")
result = {"driver": text("nvmlSystemGetDriverVersion", size=80), "gpus": []}
for i in range(number("nvmlDeviceGetCount_v2")):
    try:
        d = handle("nvmlDeviceGetHandleByIndex_v2", i)
        memory = struct("nvmlDeviceGetMemoryInfo", d, [("total", c.c_ulonglong), ("free", c.c_ulonglong), ("used", c.c_ulonglong)])
        result["gpus"].append({
            "index": number("nvmlDeviceGetIndex", d),
            "name": text("nvmlDeviceGetName", d),
            "uuid": text("nvmlDeviceGetUUID", d),
            "temperature": number("nvmlDeviceGetTemperature", d, 0),
            "fan": optional(number, "nvmlDeviceGetFanSpeed", d),
            "total": memory["total"], "free": memory["free"], "used": memory["used"],
            "utilization": optional(struct, "nvmlDeviceGetUtilizationRates", d, [("gpu", c.c_uint), ("memory", c.c_uint)]),
            "encoder": optional(engine, "nvmlDeviceGetEncoderUtilization", d),
            "decoder": optional(engine, "nvmlDeviceGetDecoderUtilization", d),
            "power": number("nvmlDeviceGetPowerUsage", d) // 1000,
            "limit": number("nvmlDeviceGetEnforcedPowerLimit", d) // 1000,
            "compute": processes("nvmlDeviceGetComputeRunningProcesses_v3", d),
            "compute_v2": processes("nvmlDeviceGetComputeRunningProcesses_v2", d),
            "graphics": processes("nvmlDeviceGetGraphicsRunningProcesses_v3", d),
        })
    except Error as e:
        if e.code != GPU_IS_LOST:
            raise
        result["gpus"].append({"index": i, "lost": str(e)})
show(result)
call("nvmlShutdown")
