"""A batch on a cluster that loses a node, with two real raylets on this machine."""

from pathlib import Path

import pytest
from support.raylets import lose_a_node


@pytest.mark.ray
def test_a_node_that_is_lost_in_mid_batch_costs_neither_a_frame_nor_a_byte(tmp_path: Path) -> None:
    found = lose_a_node(tmp_path, clips=1, styles=2, frames=5)
    assert found.nodes_before < found.nodes  # whether its worker was busy just then is up to chance
    assert (found.jobs, found.twice, found.missing, found.frames) == (2, 0, 0, 10)
    assert found.all_done
    assert found.same_bytes
