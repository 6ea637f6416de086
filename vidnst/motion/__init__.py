"""Optical flow and what is made with it: warping, blending, mask tracking, metrics."""
