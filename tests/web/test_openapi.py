"""The server keeps to its OpenAPI description under generated requests: no 5xx, and only the answers it names."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from web_maker import photo_bytes

from fakelab.service.accounts import SCOPES
from fakelab.web.house import House


@pytest.fixture(scope="module")
def described(house: House, app: Any) -> Any:
    """The description, with a run and an upload to ask for."""
    return schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"Host": "127.0.0.1"})


@pytest.fixture(scope="module")
def known(house: House, app: Any) -> tuple[dict[str, str], str]:
    """The header of a key, and a finished run of its desk."""
    from starlette.testclient import TestClient
    from web_maker import Desk

    secret, _ = house.accounts.add_key("generated", SCOPES, actor="test", desk="generated")
    headers = {"Authorization": f"Bearer {secret}", "Host": "127.0.0.1"}
    desk = Desk(TestClient(app, base_url="http://127.0.0.1", headers=headers), "generated", house)
    run: str = desk.hand_in(photo_bytes(60_001)).json()["id"]
    desk.result(run)
    return headers, run


# schemathesis itself draws by the module `random`.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
def test_generated_requests_are_answered_without_a_server_error(
    described: Any, known: tuple[dict[str, str], str], subtests: pytest.Subtests
) -> None:
    headers, run = known
    operations = [each.ok() for each in described.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:
        if operation.path.endswith("/events"):
            continue  # a stream that ends with its client
        with subtests.test(f"{operation.method.upper()} {operation.path}"):
            _try(operation, headers, run)


def _try(operation: Any, headers: dict[str, str], run: str) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy())
    def asked(case: Any) -> None:
        named = case.path_parameters or {}
        if "run" in named and operation.method.upper() != "DELETE" and str(named["run"])[:1] < "h":
            # Every other time a run that there is.
            named["run"] = run
        answer = case.call(headers=headers)
        assert answer.status_code < 500, (answer.status_code, answer.text[:300])
        if answer.status_code >= 400 and operation.method.upper() != "HEAD":
            kind = str(answer.headers.get("content-type", ""))
            assert "application/problem+json" in kind, (answer.status_code, answer.text[:200])

    asked()
