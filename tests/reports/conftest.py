"""Every kind of analysis, by name, for tests that hold for all of them."""

from __future__ import annotations

import pytest

import analysis_maker as maker
from fakelab.records import Analysis


@pytest.fixture(params=sorted(maker.EVERY))
def any_analysis(request: pytest.FixtureRequest) -> Analysis:
    return maker.EVERY[request.param]()
