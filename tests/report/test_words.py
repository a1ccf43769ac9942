from typing import get_args

from gpubench.report.words import FLAGS, explain
from gpubench.results.document import Flag


def test_every_flag_has_a_meaning_and_a_remedy() -> None:
    assert set(FLAGS) == set(get_args(Flag))
    for flag in FLAGS:
        assert explain(flag).count(".") >= 2
