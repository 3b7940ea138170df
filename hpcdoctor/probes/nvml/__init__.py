"""How is NVIDIA's management library asked? The parts of the probe nvidia_gpu; no probe itself."""
