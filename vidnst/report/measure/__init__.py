"""Measurements of an output against its source."""
