"""What tests of several folders use."""

from __future__ import annotations

import pytest

from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A new one for each module."""
    return Authority(tmp_path_factory.mktemp("authority"))
