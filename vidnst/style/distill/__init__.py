"""Distillation of a small backbone from a large one."""
