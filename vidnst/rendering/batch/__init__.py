"""Many clips in many styles, on one pool of workers."""
