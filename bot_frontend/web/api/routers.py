"""Where the parts of the API declare their paths: whole, and with how callers name themselves."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer

from bot_frontend.web.api import PREFIX

_KEY = HTTPBearer(
    scheme_name="apiKey", description="OPS_TOKEN, or a key of `ballast keys create`", auto_error=False
)


def router_of(below: str = "", *, tag: str | None = None) -> APIRouter:
    """A part's. below -- what its paths begin with, after PREFIX. tag -- what the document lists them under; None if
    each path says that itself.
    """
    return APIRouter(prefix=PREFIX + below, tags=[tag] if tag else None, dependencies=[Depends(_KEY)])
