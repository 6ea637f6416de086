"""The devices that compute: GPUs and why one cannot be used, deterministic kernels, OpenMP threads."""
