"""The command line: commands, tables, progress. Rich and typer live here and nowhere else."""
