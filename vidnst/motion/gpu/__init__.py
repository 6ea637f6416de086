"""Where a warm frame begins, as `vidnst.motion.blend` has it, in torch on a worker's device.

On a GPU a node's optimisation takes less time than OpenCV takes on a CPU to fetch and blend what it begins at. Nothing
in here waits for the device, and all of it gives the same bytes every time: no atomics, no cuDNN, no cuBLAS.
"""
