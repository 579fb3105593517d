"""What the handlers of pages share: forms by the right that they need, and where a browser is sent next."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.responses import RedirectResponse

from fakelab.errors import UsageError
from fakelab.service.accounts import Who
from fakelab.service.jobs import not_there
from fakelab.service.runs import Run
from fakelab.web.auth import Posted, posted
from fakelab.web.house import House

Looked = Annotated[Posted, Depends(posted("read"))]
Asked = Annotated[Posted, Depends(posted("analyse"))]
Reviewed = Annotated[Posted, Depends(posted("review"))]
Removed = Annotated[Posted, Depends(posted("delete"))]


def to(address: str) -> RedirectResponse:
    """Sends the browser on after a form, so that reloading does not send it again."""
    return RedirectResponse(address, status_code=303)


def inside(address: str) -> str:
    """An address of ours, never one of somebody else's."""
    plain = address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/") and not address.startswith("//") else "/"


def run_of(house: House, who: Who, run: str) -> Run:
    """The run of whoever asks. Raises UnknownNameError, also for somebody else's."""
    try:
        return house.history.get(run, owner=who.desk)
    except UsageError as error:
        raise not_there() from error
