"""Who may talk to the page: this machine, or who has the token; other web sites may not.

- Host: a browser on a hostile name that was rebound to this address still says that name; only loopback names, IP
  addresses and names given are answered.
- Origin: a form or script of another site says its own origin; what it sends is refused, and so is all that is not
  JSON, which no form can send.
- Token: wherever others than this machine's users can connect. It comes in the fragment of a link, which no browser
  sends and no log has, and goes in the ``Authorization`` header, which no other site can set.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1 << 20  # bytes
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Token:
    """What opens the page to others than this machine.

    Attributes:
        secret: what has to be said.
        expires: when it stops to open, by ``clock``.
        clock: seconds; ``time.time`` but in tests.
    """

    expires: float
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    clock: Callable[[], float] = time.time

    def refusal(self, authorization: str | None) -> str | None:
        """None where the header opens; else why not: token_needed, token_wrong or token_expired."""
        scheme, _, said = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not said:
            return "token_needed"
        if not hmac.compare_digest(said.strip().encode(), self.secret.encode()):  # takes as long whatever was guessed
            return "token_wrong"
        return "token_expired" if self.clock() >= self.expires else None


class Guard:
    """ASGI middleware: refuses what may not come in, and puts the security headers on everything that goes out.

    Args:
        app: what is guarded.
        token: None: everybody who can connect may speak, so that only loopback names are answered.
        hosts: names that this machine is reached by, beside IP addresses; only with a token.
    """

    def __init__(self, app: ASGIApp, token: Token | None = None, hosts: Iterable[str] = ()):
        self.app, self.token = app, token
        self.hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, code = refusal
            await JSONResponse({"error": code}, status)(scope, receive, send_guarded)
        else:
            await self.app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and code of what is wrong with a request; None: nothing."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._knows(host):
            return 421, "host_unknown"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "method_not_allowed"
        if scope["method"] == "POST":
            origin = headers.get("origin")
            if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
                return 403, "origin_unknown"
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return 403, "origin_unknown"
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return 415, "json_needed"
            length = headers.get("content-length", "")
            if not length.isdecimal():
                return 411, "length_needed"
            if int(length) > LARGEST_BODY:
                return 413, "too_large"
        if self.token is not None and scope["path"].startswith("/api/"):
            refusal = self.token.refusal(headers.get("authorization"))
            if refusal is not None:
                return 401, refusal
        return None

    def _knows(self, host: str) -> bool:
        """Whether a request for this ``Host`` is one for us; the port is that of whatever tunnel it came by."""
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        name = name.lower().strip("[]")
        if is_loopback(name):
            return True
        return self.token is not None and (name in self.hosts or _address(name) is not None)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it: localhost, 127.x.x.x, ::1."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback
