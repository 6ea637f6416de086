"""The command line: commands, tables, progress. Only this package uses rich and typer."""
