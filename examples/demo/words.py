"""The words of the page: what each cookie attribute does, and times as people say them."""

from __future__ import annotations

from datetime import UTC, datetime

from examples.demo.exchanges import SetCookie

_SAMESITE = {
    "lax": "Other sites can lead people here with it, but not post or embed with it.",
    "strict": "Never sent when another site leads here.",
    "none": "Sent with every site's requests, embedded ones too. Needs Secure.",
}
_FLAGS = {
    "secure": ("Secure", "Travels over https only (and to your own machine)."),
    "httponly": ("HttpOnly", "No script can read it, so a script that was smuggled in cannot steal it."),
    "partitioned": ("Partitioned", "Embedded in other sites, it is a separate cookie under each of them."),
}


def attributes(cookie: SetCookie) -> list[tuple[str, str]]:
    """Return each attribute of ``cookie`` as it was written and what it does, those that are missing included."""
    given = cookie.attributes
    rows = lifetime(given)
    path = given.get("path", "/")
    rows.append((f"Path={path}", f"Sent for {'every address' if path == '/' else f'{path} and what is below it'}."))
    if given.get("domain"):
        rows.append((f"Domain={given['domain']}", "Sent to this host and to every host below it."))
    else:
        rows.append(("no Domain", "Goes back to exactly this host, to none below it."))
    rows += [words for flag, words in _FLAGS.items() if flag in given]
    if "samesite" in given:
        rows.append((f"SameSite={given['samesite']}", _SAMESITE.get(given["samesite"].lower(), "")))
    else:
        rows.append(("no SameSite", "The browser decides; most take Lax."))
    return rows


def lifetime(given: dict[str, str]) -> list[tuple[str, str]]:
    """Return what says how long the browser keeps a cookie. Max-Age wins over Expires (RFC 6265 §5.3)."""
    rows = []
    if "max-age" in given:
        seconds = int(given["max-age"])
        rows.append((f"Max-Age={seconds}", f"Kept for {duration(seconds)}." if seconds > 0 else "Deleted at once."))
    if "expires" in given:
        meaning = "The same as a date; Max-Age wins." if rows else "Kept until then; a date in the past deletes it."
        rows.append((f"Expires={given['expires']}", meaning))
    return rows or [("no Max-Age, no Expires", "Kept until the browser is closed.")]


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: ``23 h 59 min``."""
    rest = max(0, round(seconds))
    counts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        counts.append((rest // size, unit))
        rest %= size
    first = next((i for i, (count, _) in enumerate(counts) if count), len(counts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in counts[first : first + 2] if count) or "0 s"


def utc(moment: float) -> str:
    """Return a moment, in seconds since 1970, as ``2030-12-31 23:59:59 UTC``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
