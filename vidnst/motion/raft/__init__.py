"""Optical flow by the RAFT network."""
