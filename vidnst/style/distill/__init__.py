"""Teaching a small network by a large one."""
