"""The error tree: what its drawing says is what the classes are, and errors survive the way between processes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from fakelab import errors
from fakelab.errors import FakeLabError, TooManyError, UsageError

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, FakeLabError)]
DRAWN = re.compile(r"^ {4}([│├└─ ]*)(\w+Error) +(\d) +(\d{3})\b", re.MULTILINE)


def test_the_drawing_shows_every_class_with_its_codes_under_its_base() -> None:
    shown = {}
    above: list[str] = []
    for branch, name, exit_code, status in DRAWN.findall(errors.__doc__ or ""):
        above[len(branch) // 4 :] = [name]
        shown[name] = (above[-2] if len(above) > 1 else "Exception", int(exit_code), int(status))
    assert shown == {each.__name__: (each.__base__.__name__, each.exit_code, each.http_status) for each in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_comes_back_whole_from_another_process(kind: type[FakeLabError]) -> None:
    made = kind("a thing failed", "it is old", "Renew it.")
    back = pickle.loads(pickle.dumps(made))
    assert type(back) is kind and str(back) == "a thing failed: it is old. Renew it."
    assert (back.what, back.why, back.do, back.code) == (made.what, made.why, made.do, made.code)


def test_too_many_says_when_to_come_back() -> None:
    error = TooManyError("the queue is full", retry_after_s=12.5)
    assert pickle.loads(pickle.dumps(error)).retry_after_s == 12.5
    assert (error.code, error.http_status) == ("toomany", 429) and isinstance(error, UsageError)
