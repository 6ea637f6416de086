"""The results that commands write to stdout, as tables or as JSON."""
