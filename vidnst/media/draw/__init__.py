"""Drawn pictures: text, contact sheets, charts, thumbnails."""
