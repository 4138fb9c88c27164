"""Ray: how many GPUs, and of which type (_private/accelerators/nvidia_gpu.py)."""
import re

from nvml import *

try:
    call("nvmlInit_v2")
    name = text("nvmlDeviceGetName", handle("nvmlDeviceGetHandleByIndex_v2", 0), size=64)
    words = name.split()
    show({"count": number("nvmlDeviceGetCount_v2"), "type": re.match(r"([A-Z0-9]+)", words[1]).group(1)})
    call("nvmlShutdown")
except Error as e:
    show({"count": 0, "code": e.code})
