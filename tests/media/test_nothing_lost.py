"""Every thing that a source holds is in the output, or the table names it: no cell is lost in silence.

The outputs are read with PyAV, Pillow, OpenCV and OpenEXR alone.
"""

from pathlib import Path

import pytest
from support import kept_media

from vidnst.errors import OutputError
from vidnst.media.output.fates import Fate, FateRow, check_strict, notable, shown


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return kept_media.write_sources(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("source", kept_media.SOURCES)
@pytest.mark.parametrize("output", kept_media.OUTPUTS)
def test_table_tells_the_truth(source: str, output: str, sources: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / output
    frames = tmp_path / "pictures"
    frames.mkdir()
    _, rows = kept_media.convert(sources[source], path, frames)
    found, table = kept_media.read_features(path), {row.name: row for row in rows}
    for feature, wanted in kept_media.features_of(source).items():
        names = [name for name in kept_media.ROWS[feature] if name in table]
        if feature == "upright":
            assert found["upright"]
            assert ("orientation" in table) == (source == "phone")
            continue
        assert names, f"no row about {feature}"
        told = all(table[name].fate is Fate.KEPT for name in names)
        if kept_media.is_kept(feature, wanted, found):
            assert all(table[name].fate is not Fate.DROPPED for name in names), f"{feature} is there: {found}"
        else:
            assert not told, f"{feature} is lost in silence: {found.get(feature)} instead of {wanted}"


def test_sources_have_what_they_should(sources: dict[str, Path]) -> None:
    for name, path in sources.items():
        found = kept_media.read_features(path)
        for feature, wanted in kept_media.features_of(name).items():
            if feature != "upright":
                assert kept_media.is_kept(feature, wanted, found), f"{name} has no {feature}: {found}"


def test_strict_names_all_that_is_not_kept() -> None:
    rows = [
        FateRow("size", "4x4", Fate.CHANGED, "to 2x2", asked=True),
        FateRow("subtitles 1", "ass", Fate.DROPPED, "x"),
        FateRow("chapters", "3", Fate.DROPPED, "y"),
    ]
    assert notable(rows) == ("subtitles 1 (ass): dropped, x", "chapters (3): dropped, y")
    with pytest.raises(OutputError) as caught:
        check_strict(rows, "o.gif")
    assert "subtitles 1 (ass): dropped, x; chapters (3): dropped, y" in str(caught.value)
    check_strict(rows[:1], "o.gif")
    said = [FateRow("HDR", "PQ", Fate.CHANGED, "z", said=True)]
    assert notable(said) == ()
    with pytest.raises(OutputError, match=r"HDR \(PQ\): changed, z"):
        check_strict(said, "o.gif")


def test_texts_of_files_are_short_and_printable() -> None:
    assert shown("a\x1b[31m\u202e") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}"
    assert len(shown("x" * 1000)) == 80
