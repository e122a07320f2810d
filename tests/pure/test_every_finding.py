"""What holds for every finding of every rule, on any sound server and for any choice."""

from __future__ import annotations

import re

from hypothesis import given, settings

from easyapache.ea4.conditions.condition import Severity
from easyapache.ea4.mpm import CGI, CGID, ITK, MPM, Choice
from easyapache.ea4.plan import Plan, make_plan
from easyapache.ea4.profile import Profile
from easyapache.ea4.rules.findings import Finding
from tests.pure.servers import CATALOGUE, choices, sound_servers


def plan(profile: Profile, choice: Choice) -> Plan:
    return make_plan(profile, choice, CATALOGUE)


@settings(max_examples=120, deadline=None)
@given(sound_servers(), choices)
def test_every_finding_is_complete_and_each_fix_is_a_choice(
    profile: Profile, choice: Choice
) -> None:
    findings = plan(profile, choice).findings
    order = [list(Severity).index(finding.severity) for finding in findings]
    assert order == sorted(order)
    for finding in findings:
        assert re.fullmatch(r"[a-z0-9_]+", finding.code)
        assert finding.title
        assert finding.message
        assert not finding.title.endswith(".")
        assert finding.remedy or finding.severity not in (Severity.BLOCK, Severity.WARN)
        assert Finding.from_json(finding.as_json()) == finding
        for fix in finding.fixes:
            altered = choice.with_fix(add=fix.add, unkeep=fix.unkeep, mpm=fix.mpm, itk=fix.itk)
            assert altered != choice, (finding.code, fix)


@settings(max_examples=120, deadline=None)
@given(sound_servers(), choices)
def test_whatever_leaves_without_being_asked_is_spoken_of(profile: Profile, choice: Choice) -> None:
    made = plan(profile, choice)
    if made.blocked:
        return
    expected = {CGI, CGID, ITK, *(mpm.package for mpm in MPM)}
    assert made.removed - expected <= {name for f in made.findings for name in f.packages}
