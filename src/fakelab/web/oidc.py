"""Signing in by the newsroom's own identity provider: OpenID Connect, the authorization code flow with PKCE.

Needs the extra `oidc`. The provider says who somebody is; what they may do stays with FakeLab's accounts. A person
without an account is let in only where the setting `oidc_role` names the role that such people have.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fakelab.errors import DeniedError, EnvironmentBrokenError, NotSignedInError, UnknownNameError, UsageError
from fakelab.service.accounts import Accounts, Who
from fakelab.settings import Settings

if TYPE_CHECKING:
    import httpx

COOKIE = "fakelab_oidc"
PATH = "/oidc"
PREFIX = "sso."
TIMEOUT_S = 10.0
FRESH_S = 600
SKEW_S = 60
ALGORITHMS = ["RS256", "ES256", "PS256", "EdDSA"]
_DO = "Check FAKELAB_OIDC_ISSUER, and that the provider can be reached."


@dataclass(frozen=True, slots=True)
class Start:
    """Where the browser is sent, and what its cookie keeps until it comes back."""

    address: str
    cookie: str


class Provider:
    """The identity provider of the settings. `client` makes HTTP requests, for tests."""

    def __init__(self, settings: Settings, accounts: Accounts, client: httpx.Client | None = None) -> None:
        self._settings, self._accounts, self._client = settings, accounts, client
        self._seal = secrets.token_bytes(32)
        self._known: dict[str, Any] | None = None

    def start(self, back: str, target: str) -> Start:
        """The first step: `back` is our own address that the provider answers to, `target` the page that is wanted."""
        known = self._discovered()
        kept = {
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "target": target,
            "back": back,
            "at": int(time.time()),
        }
        digest = hashlib.sha256(str(kept["verifier"]).encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client,
            "redirect_uri": back,
            "scope": "openid profile email",
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return Start(f"{known['authorization_endpoint']}?{urlencode(asked)}", self._sealed(kept))

    def finish(self, cookie: str, state: str, code: str) -> tuple[str, Who, str]:
        """The last step: a session's token, who it is, and the page that was wanted.

        Raises NotSignedInError where anything does not fit, DeniedError for somebody without an account.
        """
        kept = self._opened(cookie)
        if not hmac.compare_digest(str(kept["state"]).encode(), state.encode()):
            raise _refused("its answer is to another request")
        known = self._discovered()
        answer = self._post(
            known["token_endpoint"],
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": kept["back"],
                "client_id": self._settings.oidc_client,
                "client_secret": self._settings.oidc_secret,
                "code_verifier": kept["verifier"],
            },
        )
        claims = self._claims(str(answer.get("id_token", "")), known, str(kept["nonce"]))
        token, who = self._let_in(claims)
        return token, who, str(kept["target"])

    # -- inside ------------------------------------------------------------------------------------------------

    def _let_in(self, claims: dict[str, Any]) -> tuple[str, Who]:
        name = account_name(claims)
        role = self._settings.oidc_role
        try:
            self._accounts.user(name)
        except UnknownNameError as error:
            if not role:
                raise DeniedError(
                    f"there is no account '{name}'", "", "An admin can add it: `fakelab users add`."
                ) from error
            # Its password is nobody's: this account comes in by the provider alone.
            self._accounts.add_user(name, secrets.token_urlsafe(32), role=role, actor="oidc")
        return self._accounts.sign_in_as(name)

    def _claims(self, token: str, known: dict[str, Any], nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        try:
            keys = KeySet.import_key_set(self._get(known["jwks_uri"]))  # type: ignore[arg-type]
            claims = dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise _refused("its signature does not fit") from error
        audience = claims.get("aud")
        wanted = self._settings.oidc_client
        if claims.get("iss") != known["issuer"]:
            raise _refused("it is of another issuer")
        if wanted not in (audience if isinstance(audience, list) else [audience]):
            raise _refused("it is meant for another program")
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != wanted:
            raise _refused("it is meant for another program")
        if not isinstance(claims.get("exp"), (int, float)) or claims["exp"] < time.time() - SKEW_S:
            raise _refused("it is out of date")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _refused("it was used before")
        return claims

    def _discovered(self) -> dict[str, Any]:
        if self._known is None:
            issuer = self._settings.oidc_issuer.rstrip("/")
            found = self._get(f"{issuer}/.well-known/openid-configuration")
            if found.get("issuer", "").rstrip("/") != issuer:
                raise EnvironmentBrokenError("the identity provider cannot be used", "it names another issuer", _DO)
            self._known = found
        return self._known

    def _get(self, url: str) -> dict[str, Any]:
        return self._json("GET", url, None)

    def _post(self, url: str, form: dict[str, Any]) -> dict[str, Any]:
        return self._json("POST", url, form)

    def _json(self, method: str, url: str, form: dict[str, Any] | None) -> dict[str, Any]:
        import httpx

        client = self._client or httpx.Client(timeout=TIMEOUT_S)
        try:
            answer = client.request(method, url, data=form, headers={"Accept": "application/json"})
            if answer.status_code >= 400 and method == "POST":
                raise _refused("it does not know the code")
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            why = type(error).__name__
            raise EnvironmentBrokenError("the identity provider does not answer", why, _DO) from error
        finally:
            if self._client is None:
                client.close()
        if not isinstance(found, dict):
            raise EnvironmentBrokenError("the identity provider cannot be used", "its answer is no object", _DO)
        return found

    def _sealed(self, kept: dict[str, Any]) -> str:
        body = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()
        return f"{body}.{hmac.digest(self._seal, body.encode(), hashlib.sha256).hex()}"

    def _opened(self, cookie: str) -> dict[str, Any]:
        body, _, seal = cookie.partition(".")
        wanted = hmac.digest(self._seal, body.encode(), hashlib.sha256).hex()
        if not hmac.compare_digest(wanted.encode(), seal.encode()):
            raise _refused("it was begun in another browser, or before the server was started")
        kept: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        if kept["at"] < time.time() - FRESH_S:
            raise _refused("it took too long")
        return kept


def account_name(claims: dict[str, Any]) -> str:
    """The account's name for somebody: `sso.` and their preferred name, else the first part of a proven e-mail address.

    With a beginning of its own, so that nobody comes by the provider into an account that has a password here.
    """
    name = str(claims.get("preferred_username") or "")
    if not name and claims.get("email_verified") is True:
        name = str(claims.get("email") or "")
    name = re.sub(r"[^a-z0-9._-]", "-", name.partition("@")[0].lower()).strip("-._")[:60]
    if not name:
        raise _refused("it names nobody")
    return f"{PREFIX}{name}"


def check_settings(settings: Settings) -> None:
    """Raises UsageError for settings that cannot be used together, EnvironmentBrokenError without the extra."""
    from importlib.util import find_spec

    if not settings.oidc_issuer.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise UsageError("FAKELAB_OIDC_ISSUER cannot be used", "it is no https address", "")
    if not settings.oidc_client:
        raise UsageError("signing in by OpenID Connect needs a client", "", "Set FAKELAB_OIDC_CLIENT.")
    if find_spec("joserfc") is None or find_spec("httpx") is None:
        raise EnvironmentBrokenError("OpenID Connect is not installed", "", "Install fakelab-verify[oidc].")


def _refused(why: str) -> NotSignedInError:
    return NotSignedInError("the identity provider did not let you in", why, "Begin again.")
