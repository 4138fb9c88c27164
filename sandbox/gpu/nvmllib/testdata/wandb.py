"""wandb: its Rust program reads what a run used (xpu/src/gpu_nvidia.rs)."""
from nvml import *

call("nvmlInitWithFlags", 0)
result = {"cuda": number("nvmlSystemGetCudaDriverVersion_v2", kind=c.c_int), "gpus": []}
for d in gpus():
    current, pending = c.c_uint(), c.c_uint()
    call("nvmlDeviceGetEccMode", d, c.byref(current), c.byref(pending))
    result["gpus"].append({
        "uuid": text("nvmlDeviceGetUUID", d, size=80), "cores": number("nvmlDeviceGetNumGpuCores", d),
        "ecc": current.value, "corrected": number("nvmlDeviceGetMemoryErrorCounter", d, 0, 0, 2, kind=c.c_ulonglong),
        "uncorrected": number("nvmlDeviceGetMemoryErrorCounter", d, 1, 0, 2, kind=c.c_ulonglong),
        "energy": optional(number, "nvmlDeviceGetTotalEnergyConsumption", d, kind=c.c_ulonglong),
        "gpm": code("nvmlGpmQueryDeviceSupport", d, c.byref(c.create_string_buffer(64))),
    })
show(result)
