"""Accelerate: binds a process to the processors near its GPU (utils/environment.py)."""
import math
import os

from nvml import *

before = os.sched_getaffinity(0)
call("nvmlInit_v2")
device = handle("nvmlDeviceGetHandleByIndex_v2", 1)
mask = (c.c_ulong * math.ceil(os.cpu_count() / 64))()
call("nvmlDeviceGetCpuAffinity", device, len(mask), mask)
near = [bit + 64 * word for word, bits in enumerate(mask) for bit in range(64) if bits >> bit & 1]
os.sched_setaffinity(0, near)  # raises where it is empty, or not allowed
show({"near": sorted(near), "allowed": sorted(before)})
