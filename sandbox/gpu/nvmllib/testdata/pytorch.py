"""PyTorch from 2.0 on: torch.cuda.device_count(), and is_available() under
PYTORCH_NVML_BASED_CUDA_CHECK=1, count by NVML first (torch/cuda/__init__.py):
nvmlInit, nvmlDeviceGetCount_v2; where one fails, the CUDA runtime is asked. The
same process may read GPUs with pynvml before and after."""
from nvml import *


def counted_by_nvml():
    lib = c.CDLL("libnvidia-ml.so.1")
    if lib.nvmlInit() != 0:
        return -1
    count = c.c_int(-1)
    if lib.nvmlDeviceGetCount_v2(c.byref(count)) != 0:
        return -1
    return count.value


result = [counted_by_nvml()]
call("nvmlInit_v2")
result += [number("nvmlDeviceGetCount_v2"), counted_by_nvml(), number("nvmlDeviceGetCount_v2")]
call("nvmlShutdown")
result.append(counted_by_nvml())
try:  # PyTorch itself, where it is installed
    import torch

    asked = [torch.cuda._device_count_nvml(), torch.cuda.device_count(), torch.cuda.is_available()]
except ImportError:
    asked = None
show({"counted": result, "torch": asked})
