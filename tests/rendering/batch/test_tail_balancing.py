"""The start of the last clips of a batch."""

from vidnst.config import RenderConfig, Role
from vidnst.farm.plan import StateId
from vidnst.farm.schedules import chain, keys
from vidnst.frames import Shot
from vidnst.rendering.batch.tail_balancing import extent, is_near

CONFIG = RenderConfig()


def test_extent_counts_work_and_longest_path() -> None:
    cold, warm = CONFIG.evaluations(Role.COLD), CONFIG.evaluations(Role.WARM)
    measured = extent(chain(Shot(0, 5)), CONFIG, ())
    assert (measured.work, measured.path) == (cold + 4 * warm, cold + 4 * warm)
    wide = extent(keys(Shot(0, 9), passes=1), CONFIG, ())
    relax = CONFIG.evaluations(Role.RELAX, 1)
    assert wide.path == cold + CONFIG.evaluations(Role.KEY) + CONFIG.evaluations(Role.BETWEEN) + relax
    assert wide.work > wide.path


def test_extent_excludes_finished_nodes() -> None:
    rest = extent(chain(Shot(0, 5)), CONFIG, {StateId(0), StateId(1)})
    assert rest.work == rest.path == 3 * CONFIG.evaluations(Role.WARM)
    assert extent(chain(Shot(0, 2)), CONFIG, {StateId(0), StateId(1)}).path == 0


def test_tail_begins_when_rest_is_shorter_than_longest_path() -> None:
    def near(**facts: float) -> bool:
        return is_near(**{"left": 800, "unknown": 0, "clips": 4, "longest_path": 100, "workers": 8} | facts)  # type: ignore[arg-type]

    assert near()
    assert not near(left=1200)
    assert not near(unknown=4)  # as many clips again whose work is not known yet
    assert not near(workers=4)
    assert not near(longest_path=50)
