"""Writes the Set-Cookie header of the session cookie, and refuses settings with which no browser would keep it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import urlsplit

from ..errors import ConfigurationError

# RFC 6265bis §4.1.1: the name is an HTTP token; a Path is any character but controls and ";". Browsers cut spaces at
# its end, and ignore one of more than 1024 bytes (§5.6).
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_PATH = re.compile(r"/(?:[\x20-\x3A\x3C-\x7E]{0,1022}[\x21-\x3A\x3C-\x7E])?", re.ASCII)
_DOMAIN = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")

_PAST = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class SetCookie:
    """The attributes of a cookie, checked once; from then on a header is one concatenation.

    :param domain: without a leading dot, which browsers ignore; ``None``: the host itself, and no other.
    :param samesite: ``"Strict"``, ``"Lax"``, ``"None"`` in any case, or ``None`` to leave the attribute out.
    :raises ConfigurationError: for a combination that browsers refuse, or that could forge a header.
    """

    name: str
    path: str = "/"
    domain: str | None = None
    secure: bool = False
    httponly: bool = True
    samesite: str | None = None
    partitioned: bool = False
    _attributes: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"the cookie name {self.name!r} is not allowed; write letters, digits, '-' and '_', such as 'session'"
            )
        if not isinstance(self.path, str) or not _PATH.fullmatch(self.path):
            raise ConfigurationError(f"the cookie path {self.path!r} is not allowed; write an absolute one, as '/'")
        parts = [self._checked_domain(), f"Path={self.path}"]
        # CHIPS: a partitioned cookie without Secure is dropped; Werkzeug adds Secure too.
        secure = self.secure or self.partitioned
        samesite = self._checked_samesite(secure)
        self._check_prefix(secure)
        parts += ["Secure" if secure else "", "HttpOnly" if self.httponly else ""]
        parts += [f"SameSite={samesite}" if samesite else "", "Partitioned" if self.partitioned else ""]
        object.__setattr__(self, "_attributes", "".join(f"; {part}" for part in parts if part))

    def header(self, value: str, now: float, max_age: float | None = None) -> str:
        """Return the Set-Cookie header that gives the cookie ``value``.

        :param now: in seconds since 1970; Expires is counted from it.
        :param max_age: in seconds; ``None``: until the browser is closed.
        """
        if max_age is None:
            return f"{self.name}={value}{self._attributes}"
        seconds = max(0, int(max_age))
        return f"{self.name}={value}; Expires={_http_date(int(now) + seconds)}; Max-Age={seconds}{self._attributes}"

    def deletion(self) -> str:
        """Return the Set-Cookie header that deletes the cookie: name, Path and Domain must be those it was set with,
        and a prefixed name needs its attributes here too, or the browser refuses (RFC 6265bis §5.7).
        """
        return f"{self.name}=; Expires={_PAST}; Max-Age=0{self._attributes}"

    def _checked_domain(self) -> str:
        if self.domain is None:
            return ""
        domain = self.domain.removeprefix(".") if isinstance(self.domain, str) else ""
        if ":" in domain:
            what = "scheme" if "//" in domain else "port"
            host = urlsplit(domain if "//" in domain else f"//{domain}").hostname
            raise ConfigurationError(
                f"the cookie domain {self.domain!r} has a {what}, and cookies do not know {what}s; write {host!r}"
            )
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            domain = ""
        if not _DOMAIN.fullmatch(domain):
            raise ConfigurationError(
                f"the cookie domain {self.domain!r} is not a host name; write one such as 'example.com', or None"
            )
        return f"Domain={domain}"

    def _checked_samesite(self, secure: bool) -> str | None:
        if self.samesite is None:
            return None
        samesite = str(self.samesite).title()
        if samesite not in ("Strict", "Lax", "None"):
            raise ConfigurationError(
                f"SameSite is {self.samesite!r}; write 'Lax', 'Strict', 'None', or None to leave it out"
            )
        if samesite == "None" and not secure:
            raise ConfigurationError(
                "SameSite='None' works only with Secure, browsers drop the cookie otherwise: "
                "set SESSION_COOKIE_SECURE = True as well"
            )
        return samesite

    def _check_prefix(self, secure: bool) -> None:
        name = self.name.lower()  # browsers match the prefixes without regard to case (RFC 6265bis §4.1.3)
        if name.startswith(("__secure-", "__host-", "__http-")) and not secure:
            raise ConfigurationError(
                f"browsers drop the cookie {self.name!r} without Secure: set SESSION_COOKIE_SECURE = True"
            )
        if name.startswith("__host-") and (self.domain is not None or self.path != "/"):
            raise ConfigurationError(
                f"browsers drop the cookie {self.name!r} with a Domain or another Path than '/': "
                "set SESSION_COOKIE_DOMAIN = None and SESSION_COOKIE_PATH = '/'"
            )
        if name.startswith(("__http-", "__host-http-")) and not self.httponly:
            raise ConfigurationError(
                f"browsers drop the cookie {self.name!r} without HttpOnly: set SESSION_COOKIE_HTTPONLY = True"
            )


@lru_cache(maxsize=64)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)
