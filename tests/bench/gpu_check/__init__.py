"""Checks and times everything that runs differently on a GPU, in one call of at most eight minutes.

Run it as `python tests/bench/gpu_check`; `tests/bench/gpu/README.md` says what its tables mean. Parts are functions,
grouped by module. They run one after the other in a child process, which the parent ends if a part takes too long or
the GPU is lost, and replaces for the rest.
"""
