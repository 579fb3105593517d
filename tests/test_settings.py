"""Settings: which value wins, what is refused, and that no default is written twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakelab.errors import UnknownNameError, UsageError
from fakelab.faces.find import FINDERS
from fakelab.media import Limits
from fakelab.models.card import DEFAULT_MODEL
from fakelab.settings import Settings, origin, read_settings, table, unknown_variables


def test_default_then_environment_then_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (read_settings().threads, origin("threads")) == (0, "default")
    monkeypatch.setenv("FAKELAB_THREADS", "3")
    assert (read_settings().threads, origin("threads")) == (3, "FAKELAB_THREADS")
    assert (read_settings(threads=5).threads, origin("threads", threads=5)) == (5, "flag")
    assert read_settings(threads=None).threads == 3


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKELAB_MODEL", "")
    assert (read_settings().model, origin("model")) == (DEFAULT_MODEL, "default")


def test_defaults_agree_with_the_rooms_that_use_them() -> None:
    settings, limits = read_settings(), Limits()
    assert settings.model == DEFAULT_MODEL
    assert settings.finder in FINDERS
    for name in ("memory_mb", "cpu_s", "wall_s", "pixels"):
        assert getattr(settings, name) == getattr(limits, name)


def test_every_setting_has_help_and_a_variable_of_its_own() -> None:
    rows = table()
    assert list(rows) == list(Settings.model_fields)
    assert all(row.help.endswith(".") and row.default for row in rows.values())
    assert len({row.variable for row in rows.values()}) == len(rows)


@pytest.mark.parametrize(
    ("name", "value"),
    [("prior", 0), ("prior", 1), ("every_s", -1), ("threads", -1), ("threads", "two"), ("wall_s", 0), ("memory_mb", 1)],
)
def test_a_value_that_does_not_fit_is_refused_with_its_meaning(name: str, value: object) -> None:
    with pytest.raises(UsageError, match="cannot be") as caught:
        read_settings(**{name: value})
    assert table()[name].help in caught.value.do


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'finder'"):
        read_settings(findr="dlib")


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKELAB_MODLE", "tiny")
    assert unknown_variables() == ["FAKELAB_MODLE"]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().model = "other"  # type: ignore[misc]


def test_no_folder_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert read_settings().data_dir == tmp_path / "data" / "fakelab"
    assert not (tmp_path / "data").exists()
