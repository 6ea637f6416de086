"""The web server that shows runs while they render."""
