"""Styles as they are written, in time and in regions."""
