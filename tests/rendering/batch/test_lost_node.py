"""A batch on a cluster that loses a node: two real raylets on one machine."""

from pathlib import Path

import pytest
from support.lost_node import lose_node


@pytest.mark.ray
def test_lost_node_keeps_frames_and_bytes(tmp_path: Path) -> None:
    differences = lose_node(tmp_path, clips=1, styles=2, frames=5)
    assert differences["nodes_before"] < differences["nodes"]  # its worker may have been idle at that moment
    assert [differences[key] for key in ("jobs", "repeated", "missing", "frames")] == [2, 0, 0, 10]
    assert differences["all_done"]
    assert differences["same_bytes"]
