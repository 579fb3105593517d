"""One server for the tests of the pages and the REST interface; each test works at a desk of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from web_maker import Desk, make_clip, photo_bytes

from fakelab.service.accounts import SCOPES
from fakelab.settings import read_settings
from fakelab.web.app import make_app
from fakelab.web.house import House, opened

_NUMBERS = itertools.count()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def house(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[House]:
    """A house that analyses with the model `tiny`, for all tests; one on each database."""
    settings = read_settings(
        model="tiny",
        data_dir=tmp_path_factory.mktemp("house"),
        upload_mb=64,
        webhooks="http://127.0.0.1",
        jobs=1,
        database="" if request.param == "sqlite" else request.getfixturevalue("postgres").format(name="postgres"),
    )
    with opened(settings, local=True) as made:
        yield made


@pytest.fixture(scope="session")
def app(house: House) -> Any:
    return make_app(house)


@pytest.fixture
def make_desk(house: House, app: Any) -> Iterator[Callable[..., Desk]]:
    """make_desk(*scopes, name=...) -> a client with these rights; a new desk unless one is named."""
    opened_clients: list[TestClient] = []

    def make(*scopes: str, name: str = "") -> Desk:
        name = name or f"desk{next(_NUMBERS)}"
        key = f"test{next(_NUMBERS)}"
        secret, _ = house.accounts.add_key(key, scopes or SCOPES, actor="test", desk=name)
        client = TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {secret}"})
        opened_clients.append(client)
        return Desk(client, name, house)

    yield make
    for each in opened_clients:
        each.close()


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


@pytest.fixture
def browser_like(house: House, app: Any) -> Iterator[TestClient]:
    """A client with a session's cookie, as a browser has it after the printed address was opened."""
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False, headers={"Accept": "text/html"})
    answer = client.get("/enter", params={"ticket": house.accounts.new_ticket()})
    assert answer.status_code == 303
    yield client
    client.close()


@pytest.fixture
def fresh_photo() -> bytes:
    """A photo that no other test has handed in."""
    return photo_bytes(next(_NUMBERS) + 1000)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A short video of the portrait, moving a little."""
    return make_clip(tmp_path / "clip.mp4", shade=next(_NUMBERS))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
