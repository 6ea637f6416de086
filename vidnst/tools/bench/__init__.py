"""Benchmarks: the speed of a frame and of whole renders, against what the machine can do at best."""
