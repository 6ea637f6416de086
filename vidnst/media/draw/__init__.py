"""Drawing: text, contact sheets, loss charts, thumbnails."""
