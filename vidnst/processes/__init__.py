"""Processes and threads: children that end with their owner, work that no signal interrupts, clocks, parallel tasks."""
