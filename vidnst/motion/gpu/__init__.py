"""The blending of `vidnst.motion.blend` in torch on a worker's device.

On a GPU a node's optimisation takes less time than OpenCV takes on a CPU to warp and blend its starting picture.
Nothing here waits for the device, and all of it is deterministic: no atomics, no cuDNN, no cuBLAS.
"""
