"""Output: frames are encoded with the source's audio, and verified."""
