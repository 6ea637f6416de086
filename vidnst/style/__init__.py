"""Style transfer of single pictures."""
