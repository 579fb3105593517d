"""OpenID Connect against a made provider: who is let in, and every answer that must be refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from fakelab.errors import DeniedError, EnvironmentBrokenError, NotSignedInError, UsageError
from fakelab.service.accounts import Accounts
from fakelab.service.history import History
from fakelab.settings import Settings, read_settings
from fakelab.web.oidc import Provider, account_name, check_settings

ISSUER = "https://id.newsroom.example"
BACK = "https://fakelab.newsroom.example/oidc/callback"


class MadeProvider:
    """An identity provider in a transport: its claims, key and answers can be bent."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "1"}, private=True)
        self.signs_with = self.key
        self.nonce = ""
        self.changes: dict[str, Any] = {}
        self.issuer = ISSUER
        self.forms: list[dict[str, list[str]]] = []
        self.algorithm = "RS256"

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match request.url.path:
            case "/.well-known/openid-configuration":
                ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
                return httpx.Response(200, json={"issuer": self.issuer} | {k: ISSUER + v for k, v in ends.items()})
            case "/keys":
                return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
            case "/token":
                self.forms.append(parse_qs(request.content.decode()))
                claims = {
                    "iss": ISSUER,
                    "aud": "fakelab",
                    "exp": int(time.time()) + 300,
                    "nonce": self.nonce,
                    "preferred_username": "Anna.Berg",
                } | self.changes
                header = {"alg": self.algorithm, "kid": "1"}
                return httpx.Response(200, json={"id_token": jwt.encode(header, claims, self.signs_with)})
        return httpx.Response(404)


@pytest.fixture
def made() -> MadeProvider:
    return MadeProvider()


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    history = History(tmp_path)
    yield Accounts(history, tickets=False)
    history.close()


def _settings(tmp_path: Path, **more: str) -> Settings:
    return read_settings(
        data_dir=tmp_path, oidc_issuer=ISSUER, oidc_client="fakelab", oidc_secret="very secret", **more
    )


def _go(provider: Provider, made: MadeProvider, *, state: str = "", cookie: str = "") -> Any:
    start = provider.start(BACK, "/history")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(start.address).query).items()}
    made.nonce = asked["nonce"]
    return provider.finish(cookie or start.cookie, state or asked["state"], "the code")


def test_somebody_with_an_account_is_let_in_to_the_page_they_wanted(
    made: MadeProvider, accounts: Accounts, tmp_path: Path
) -> None:
    accounts.add_user("sso.anna.berg", "a long password", role="analyst", desk="news", actor="test")
    provider = Provider(_settings(tmp_path), accounts, made.client())
    token, who, target = _go(provider, made)
    assert (who.name, who.role, who.desk, target) == ("sso.anna.berg", "analyst", "news", "/history")
    again = accounts.who_of_session(token)
    assert again is not None and again.name == "sso.anna.berg"
    form = made.forms[0]
    assert form["code"] == ["the code"] and form["redirect_uri"] == [BACK] and len(form["code_verifier"][0]) >= 43


def test_somebody_without_one_stays_out_unless_a_role_is_named(
    made: MadeProvider, accounts: Accounts, tmp_path: Path
) -> None:
    with pytest.raises(DeniedError, match=r"no account 'sso\.anna\.berg'"):
        _go(Provider(_settings(tmp_path), accounts, made.client()), made)
    _, who, _ = _go(Provider(_settings(tmp_path, oidc_role="viewer"), accounts, made.client()), made)
    assert who.role == "viewer" and [each.name for each in accounts.users()] == ["sso.anna.berg"]
    accounts.disable("sso.anna.berg", actor="test")
    with pytest.raises(DeniedError, match="disabled"):
        _go(Provider(_settings(tmp_path, oidc_role="viewer"), accounts, made.client()), made)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"aud": "another"}, "another program"),
        ({"aud": ["fakelab", "another"]}, "another program"),
        ({"exp": 1}, "out of date"),
        ({"exp": None}, "out of date"),
        ({"nonce": "of an earlier time"}, "used before"),
        ({"preferred_username": ""}, "names nobody"),
        ({"preferred_username": "", "email": "anna.berg@evil.example", "email_verified": False}, "names nobody"),
    ],
)
def test_a_token_that_does_not_fit_is_refused(
    made: MadeProvider, accounts: Accounts, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    accounts.add_user("sso.anna.berg", "a long password", actor="test")
    made.changes = changes
    with pytest.raises(NotSignedInError, match=why):
        _go(Provider(_settings(tmp_path), accounts, made.client()), made)


def test_a_forged_signature_a_foreign_state_and_a_foreign_cookie_are_refused(
    made: MadeProvider, accounts: Accounts, tmp_path: Path
) -> None:
    accounts.add_user("sso.anna.berg", "a long password", actor="test")
    provider = Provider(_settings(tmp_path), accounts, made.client())
    with pytest.raises(NotSignedInError, match="another request"):
        _go(provider, made, state="made up")
    other = Provider(_settings(tmp_path), accounts, made.client()).start(BACK, "/").cookie
    with pytest.raises(NotSignedInError, match="another browser"):
        _go(provider, made, cookie=other)
    with pytest.raises(NotSignedInError, match="another browser"):
        _go(provider, made, cookie="nonsense")
    made.signs_with = RSAKey.generate_key(2048, {"kid": "1"}, private=True)
    with pytest.raises(NotSignedInError, match="signature"):
        _go(provider, made)


def test_a_provider_that_is_another_or_does_not_answer_is_an_error_of_the_environment(
    made: MadeProvider, accounts: Accounts, tmp_path: Path
) -> None:
    made.issuer = "https://evil.example"
    with pytest.raises(EnvironmentBrokenError, match="another issuer"):
        Provider(_settings(tmp_path), accounts, made.client()).start(BACK, "/")
    silent = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(500)))
    with pytest.raises(EnvironmentBrokenError, match="does not answer"):
        Provider(_settings(tmp_path), accounts, silent).start(BACK, "/")


def test_names_become_names_of_accounts() -> None:
    assert account_name({"preferred_username": "Jörg Müller@x"}) == "sso.j-rg-m-ller"
    assert account_name({"email": "Eve@x.example", "email_verified": True}) == "sso.eve"


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="https"):
        check_settings(read_settings(oidc_issuer="http://id.example", oidc_client="x"))
    with pytest.raises(UsageError, match="client"):
        check_settings(read_settings(oidc_issuer=ISSUER))
    shown = json.dumps(_settings(tmp_path).model_dump(mode="json", exclude={"oidc_secret"}))
    assert "very secret" not in shown
