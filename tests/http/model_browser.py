"""A model browser: the cookie rules of a user agent (RFC 6265bis, approved draft -22, section 5), over real HTTP.

It takes its clock as an argument, so that cookies expire when a test says so. The standard library's ``http.cookiejar``
reads ``time.time`` and knows neither SameSite nor name prefixes. All host names lead to the one server under test.
Left out: public suffixes, partitioned cookies, control characters, limits on the number of cookies, and the exception
that browsers make for Secure cookies on ``http://localhost``.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

LONGEST_LIFE = 400 * 86_400.0  # seconds: §5.5
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
REDIRECTS = (301, 302, 303)


@dataclass(frozen=True)
class Cookie:
    """A stored cookie: the fields of §5.7.

    ``expires`` is in seconds since 1970, None until the browser closes. ``same_site`` is strict, lax, none or, where
    nothing valid was said, empty: that goes like lax.
    """

    name: str
    value: str
    domain: str
    path: str
    host_only: bool
    secure: bool
    http_only: bool
    same_site: str
    expires: float | None

    def goes_to(self, url: SplitResult) -> bool:
        """Whether this cookie is for this URL (§5.8.3, the first three requirements)."""
        host = url.hostname or ""
        return (
            (host == self.domain if self.host_only else domain_matches(host, self.domain))
            and path_matches(url.path or "/", self.path)
            and (url.scheme == "https" or not self.secure)
        )


@dataclass(frozen=True)
class Page:
    """A response: where it came from, its status, its Set-Cookie and other headers, its text, and who sent us there."""

    url: str
    status: int
    headers: dict[str, str]
    set_cookies: list[str]
    text: str
    redirected_from: Page | None


class Browser:
    """One person's browser. ``jar`` holds its cookies, ``refused`` says which ones it did not take, and why.

    :param port: where the server under test listens, on 127.0.0.1.
    :param clock: says what time it is, in seconds since 1970.
    """

    def __init__(self, port: int, clock: Callable[[], float]) -> None:
        self.port = port
        self.clock = clock
        self.url = "http://127.0.0.1/"
        self.jar: dict[tuple[str, str, bool, str], Cookie] = {}
        self.refused: list[str] = []

    def get(self, url: str, *, cross_site: bool = False) -> Page:
        """Open a page. ``url`` may be relative to the last one; ``cross_site``: a link on somebody else's page."""
        return self._visit("GET", url, "", cross_site)

    def post(self, url: str, form: dict[str, str], *, cross_site: bool = False) -> Page:
        """Send a form, and follow the redirect if there is one."""
        return self._visit("POST", url, urlencode(form), cross_site)

    def close(self) -> None:
        """Close the browser and open it again: cookies without an end are gone (§5.7, the last paragraph)."""
        self.jar = {key: cookie for key, cookie in self.jar.items() if cookie.expires is not None}

    def thief(self) -> Browser:
        """Somebody who copied these cookies and keeps them, whatever becomes of them here and whenever they end."""
        thief = Browser(self.port, self.clock)
        thief.jar = {key: replace(cookie, expires=None) for key, cookie in self.jar.items()}
        return thief

    def cookie(self, name: str) -> Cookie | None:
        """The stored cookie of this name, if there is one and no more."""
        found = [cookie for cookie in self._live() if cookie.name == name]
        assert len(found) < 2, f"{len(found)} cookies are called {name}"
        return found[0] if found else None

    def document_cookie(self) -> str:
        """What a script on the current page sees (§5.8.2)."""
        url = urlsplit(self.url)
        return _pairs([cookie for cookie in self._live() if cookie.goes_to(url) and not cookie.http_only])

    def cookie_header(self, url: str, *, method: str = "GET", cross_site: bool = False) -> str:
        """The Cookie header of a request to ``url`` (§5.8.3), as a top-level navigation."""
        parts = urlsplit(urljoin(self.url, url))
        allowed = {"strict", "lax", "none", ""}
        if cross_site:
            allowed = {"lax", "none", ""} if method in SAFE_METHODS else {"none"}
        return _pairs([cookie for cookie in self._live() if cookie.goes_to(parts) and cookie.same_site in allowed])

    def receive(self, header: str, url: str) -> None:
        """Take one Set-Cookie header that came from ``url``, or note in ``refused`` why not (§5.6, §5.7)."""
        parts = urlsplit(url)
        name, value, attributes = parse(header)
        domain = attributes.get("domain", "").removeprefix(".").lower()
        path = attributes.get("path", "")
        same_site = attributes.get("samesite", "").lower()
        cookie = Cookie(
            name,
            value,
            domain=domain or parts.hostname or "",
            path=path if path.startswith("/") else default_path(parts.path),
            host_only=not domain,
            secure="secure" in attributes,
            http_only="httponly" in attributes,
            same_site=same_site if same_site in ("strict", "lax", "none") else "",
            expires=self._end(attributes),
        )
        reason = self._why_not(cookie, explicit_path=bool(path), url=parts)
        if reason:
            self.refused.append(f"{name}: {reason}")
            return
        # A dict keeps the place of a key that is set again, as §5.7 keeps the creation time of a cookie that is.
        self.jar[name, cookie.domain, cookie.host_only, cookie.path] = cookie

    def _visit(self, method: str, url: str, body: str, cross_site: bool) -> Page:
        page = None
        for _ in range(5):
            self.url = urljoin(self.url, url)
            page = self._exchange(method, body, cross_site, page)
            if page.status not in REDIRECTS:
                return page
            method, url, body = "GET", page.headers["location"], ""
        raise AssertionError(f"redirected without end, last to {self.url}")

    def _exchange(self, method: str, body: str, cross_site: bool, before: Page | None) -> Page:
        parts = urlsplit(self.url)
        headers = {"Host": parts.netloc}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if cookies := self.cookie_header(self.url, method=method, cross_site=cross_site):
            headers["Cookie"] = cookies
        connection = _connect(parts.scheme, self.port)
        try:
            connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        set_cookies = answer.headers.get_all("Set-Cookie") or []
        for header in set_cookies:
            self.receive(header, self.url)
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return Page(self.url, answer.status, fields, set_cookies, text, before)

    def _live(self) -> list[Cookie]:
        now = self.clock()
        self.jar = {key: c for key, c in self.jar.items() if c.expires is None or c.expires > now}
        return list(self.jar.values())

    def _end(self, attributes: dict[str, str]) -> float | None:
        """When a cookie ends: by Max-Age, else by Expires (§5.7, step 4), never after 400 days (§5.5)."""
        now = self.clock()
        if re.fullmatch(r"-?\d+", attributes.get("max-age", "")):
            return now + min(int(attributes["max-age"]), LONGEST_LIFE)
        if "expires" in attributes:
            try:
                date = parsedate_to_datetime(attributes["expires"])
            except ValueError:
                return None  # §5.6.1: what is no date is ignored
            return min(date.timestamp(), now + LONGEST_LIFE)
        return None

    def _why_not(self, cookie: Cookie, *, explicit_path: bool, url: SplitResult) -> str | None:
        """The reason not to take a cookie, by §5.4, §5.6 and §5.7; None to take it."""
        host, name = url.hostname or "", cookie.name.lower()
        if len(cookie.name) + len(cookie.value) > 4096:
            return "name and value are longer than 4096 octets"
        if not cookie.name and not cookie.value:
            return "it has neither name nor value"
        if not cookie.host_only and not domain_matches(host, cookie.domain):
            return f"Domain={cookie.domain} does not cover {host}"
        if cookie.secure and url.scheme != "https":
            return "Secure, and did not come by https"
        if not cookie.secure and url.scheme != "https" and self._hides_a_secure_one(cookie):
            return "did not come by https, and would hide a Secure cookie of that name"
        if cookie.same_site == "none" and not cookie.secure:
            return "SameSite=None without Secure"
        if name.startswith("__secure-") and not cookie.secure:
            return "__Secure- without Secure"
        whole_host = cookie.secure and cookie.host_only and explicit_path and cookie.path == "/"
        if name.startswith("__host-") and not whole_host:
            return "__Host- needs Secure, Path=/ and no Domain"
        return None

    def _hides_a_secure_one(self, new: Cookie) -> bool:
        return any(
            old.secure
            and old.name == new.name
            and (domain_matches(old.domain, new.domain) or domain_matches(new.domain, old.domain))
            and path_matches(new.path, old.path)
            for old in self._live()
        )


def parse(header: str) -> tuple[str, str, dict[str, str]]:
    """Take a Set-Cookie header apart: name, value and attributes, these with lower-case names (§5.6)."""
    pair, *rest = header.split(";")
    name, value = pair.split("=", 1) if "=" in pair else ("", pair)
    attributes = {}
    for attribute in rest:
        key, _, argument = attribute.partition("=")
        if len(argument.strip()) <= 1024:
            attributes[key.strip().lower()] = argument.strip()
    return name.strip(), value.strip(), attributes


def domain_matches(host: str, domain: str) -> bool:
    """§5.1.3: the same name, or one below it. An address has nothing below it."""
    return host == domain or (host.endswith("." + domain) and not _is_address(host))


def path_matches(path: str, cookie_path: str) -> bool:
    """§5.1.4: the same path, or one below it."""
    return path == cookie_path or path.startswith(cookie_path if cookie_path.endswith("/") else cookie_path + "/")


def default_path(path: str) -> str:
    """§5.1.4: the folder that the page is in."""
    return path.rpartition("/")[0] or "/"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _pairs(cookies: list[Cookie]) -> str:
    """A cookie string: longer paths first, then older cookies first (§5.8.3, step 2)."""
    cookies = sorted(cookies, key=lambda cookie: -len(cookie.path))
    return "; ".join(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in cookies)


def _connect(scheme: str, port: int) -> HTTPConnection:
    if scheme == "http":
        return HTTPConnection("127.0.0.1", port, timeout=30)
    # The certificate is made for the test and signed by nobody.
    return HTTPSConnection("127.0.0.1", port, timeout=30, context=ssl._create_unverified_context())
