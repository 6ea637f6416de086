"""Texture statistics and their distances."""
