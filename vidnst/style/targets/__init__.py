"""Style targets: what the style loss compares a picture with."""
