"""Adjustments of source frames: deflicker and registration."""
