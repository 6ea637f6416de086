"""The networks: filters found, read and run."""
