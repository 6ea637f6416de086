"""Rendering as a plan of nodes: its order, and the workers that run it."""
