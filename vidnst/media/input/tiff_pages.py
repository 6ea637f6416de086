"""Pages of a TIFF file, without its thumbnails, pyramids and masks."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vidnst.media.input.decoder_noise import quiet_pillow
from vidnst.media.input.limits import check_animation, check_frame_count, check_frame_pixels

_NEW_SUBFILE_TYPE = 254
_REDUCED, _MASK = 1, 4  # bits of that tag


@dataclass(frozen=True, slots=True)
class TiffPage:
    """A full-size page of a TIFF file."""

    index: int
    """Position among all directories of the file."""
    width: int
    """Pixels across, upright; 0 if the page cannot be read."""
    height: int
    """Pixels down, upright; likewise."""


def list_pages(path: Path) -> list[TiffPage]:
    """List the pages of a TIFF file, at least one; nothing is decoded. A page that cannot be read ends the list.

    Raises:
        SourceError: there are too many, or they are too large.
        Exception: any of a dozen types, if the first page cannot be read.
    """
    pages: list[TiffPage] = []
    with quiet_pillow(), Image.open(path) as image:
        index = 0
        while True:
            width, height = image.size
            check_frame_pixels(str(path), width, height)
            kind = getattr(image, "tag_v2", {}).get(_NEW_SUBFILE_TYPE, 0)
            if index == 0 or not isinstance(kind, int) or not kind & (_REDUCED | _MASK):
                pages.append(TiffPage(index, width, height))
                check_frame_count(str(path), len(pages))
                check_animation(str(path), len(pages), pages[0].width, pages[0].height)
            index += 1
            try:
                image.seek(index)
            except EOFError:
                return pages
            except Exception:  # Pillow raises a dozen types for untrusted bytes
                return [*pages, TiffPage(index, 0, 0)]
