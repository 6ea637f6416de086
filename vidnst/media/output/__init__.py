"""Outputs: encoded, checked, with their sound."""
