"""The demo in real Chromium: what a visitor does there, sees there, and what the browser makes of our cookies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import Visit, serve

PHONE = {"width": 390, "height": 844}


def press(button: Locator, outcome: str) -> None:
    """Click and wait until the page says that ``outcome`` was done: what comes next must not overtake it."""
    button.click()
    expect(button.page.get_by_role("status")).to_contain_text(outcome)


def log_in(page: Page, name: str) -> None:
    page.locator("#you-name").fill(name)
    press(page.get_by_role("button", name="Log in", exact=True), f"session.login('{name}'")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Hello, {name}")


def save(page: Page, key: str, kind: str, value: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_label("Type").select_option(kind)
    page.locator("#session-value").fill(value)
    press(page.get_by_role("button", name="Save"), f"session['{key}'] = ")


def jar(page: Page) -> dict[str, Any]:
    return {cookie["name"]: cookie for cookie in page.context.cookies()}


def picture(page: Page, artifacts: Path, name: str) -> None:
    # Chromium cannot picture a page of which it has not drawn two frames yet.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.screenshot(path=artifacts / f"demo-{name}.png", full_page=True)


def test_a_visit_from_login_to_logout(demo: str, visit: Visit, artifacts: Path) -> None:
    """Log in, see the name, change a value, append to a nested list, log out; the old cookie, replayed, is nobody."""
    page = visit(demo)
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, whoever you are")
    assert jar(page) == {}  # looking around sets no cookie
    picture(page, artifacts, "anonymous")

    log_in(page, "Ada")
    save(page, "colour", "text", "red")
    page.get_by_label("New value of colour").fill("blue")
    press(page.get_by_role("button", name="Change").first, "session['colour'] = 'blue'")
    save(page, "cart", "list", "apple, pear")
    page.get_by_label("Append to cart").fill("fig")
    press(page.get_by_role("button", name="Append"), "session['cart'].append('fig')")
    page.reload()
    as_the_app_sees_it = page.get_by_role("region", name="As the app sees it")
    expect(as_the_app_sees_it).to_contain_text("'colour': 'blue'")
    expect(as_the_app_sees_it).to_contain_text("'cart': ['apple', 'pear', 'fig']")
    sealed = page.get_by_role("region", name="As the store keeps it").inner_text()
    assert len(bytes.fromhex(sealed)) > 60
    assert b"blue" not in bytes.fromhex(sealed)
    picture(page, artifacts, "logged-in")

    old = jar(page)["session"]
    assert old["httpOnly"]
    assert old["sameSite"] == "Lax"
    press(page.get_by_role("button", name="Log out"), "session.logout()")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, whoever you are")
    assert "session" not in jar(page)

    page.context.add_cookies([old])
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, whoever you are")
    expect(page.get_by_text("No coat here")).to_be_visible()


def test_rotation_changes_the_token_and_keeps_the_session(demo: str, visit: Visit) -> None:
    """A rotation gives the browser another token; who is logged in and the handle stay, the old token is nobody's."""
    page = visit(demo)
    log_in(page, "Ada")
    before, handle = jar(page)["session"], page.locator(".ticket-stub code").inner_text()
    press(page.get_by_role("button", name="Rotate the token"), "session.rotate()")
    assert jar(page)["session"]["value"] != before["value"]
    expect(page.locator(".ticket-stub code")).to_have_text(handle)
    page.context.add_cookies([before])
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, whoever you are")


def test_a_cookie_with_its_attributes(demo: str, visit: Visit, artifacts: Path) -> None:
    """A cookie set with attributes is taken apart on the page and lies in the browser's jar with them; then it goes."""
    page = visit(demo)
    form = page.locator("#cookie-form")
    form.get_by_label("Name").fill("flavour")
    form.get_by_label("Value").fill("oat; raisin")
    form.get_by_label("Max-Age").fill("3600")
    form.get_by_label("SameSite").select_option("Strict")
    form.get_by_label("Path").fill("/")
    for flag in ("Secure", "HttpOnly", "Partitioned"):
        form.get_by_label(flag, exact=True).check()
    press(form.get_by_role("button", name="Set cookie"), "response.set_cookie('flavour', value='oat; raisin'")

    answer = page.locator("#travelled .exchange").first
    for part in ("flavour=", "Max-Age=3600", "Kept for 1 h.", "Path=/", "HttpOnly", "SameSite=Strict", "Partitioned"):
        expect(answer).to_contain_text(part)
    kept = jar(page)["flavour"]
    assert (kept["httpOnly"], kept["secure"], kept["sameSite"], kept["path"]) == (True, True, "Strict", "/")
    assert 3500 < kept["expires"] - jar_time(page) <= 3600
    picture(page, artifacts, "cookie")

    page.get_by_role("link", name="Change flavour").click()
    expect(form.get_by_label("Value")).to_have_value("oat; raisin")
    expect(form.get_by_label("Max-Age")).to_have_value("3600")
    form.get_by_label("Value").fill("plain")
    press(form.get_by_role("button", name="Set cookie"), "response.set_cookie('flavour', value='plain'")
    assert jar(page)["flavour"]["value"] == "plain"

    press(page.get_by_role("button", name="Delete the cookie flavour"), "response.delete_cookie('flavour'")
    expect(page.locator("#travelled .exchange").first).to_contain_text("Deleted at once.")
    assert "flavour" not in jar(page)


def jar_time(page: Page) -> float:
    """The browser's own time, in seconds since 1970."""
    return float(page.evaluate("Date.now()")) / 1000


def test_what_travelled_shows_no_whole_token(demo: str, visit: Visit) -> None:
    """The token appears masked; whole only in what this browser itself just sent, behind a click."""
    page = visit(demo)
    log_in(page, "Ada")
    token = jar(page)["session"]["value"]
    assert token not in page.locator("body").inner_text()
    assert page.content().count(token) == 1
    page.get_by_text("Show it whole").click()
    expect(page.locator(".whole pre")).to_contain_text(f"session={token}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(demo: str, visit: Visit, artifacts: Path, scheme: str) -> None:
    """At 390 by 844 nothing scrolls sideways, even with long unbroken values, and every field has a label."""
    page = visit(demo, viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True)
    picture(page, artifacts, f"phone-anonymous-{scheme}")
    assert_fits(page)
    log_in(page, "A" * 50)
    save(page, "k" * 50, "text", "v" * 500)
    save(page, "cart", "list", "x" * 200 + ", pear")
    form = page.locator("#cookie-form")
    form.get_by_label("Name").fill("n" * 100)
    form.get_by_label("Value").fill("c" * 500)
    press(form.get_by_role("button", name="Set cookie"), "response.set_cookie('nnn")
    page.get_by_text("Show it whole").click()
    assert_fits(page)
    picture(page, artifacts, f"phone-{scheme}")


def assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    fields = "[...document.querySelectorAll('input:not([type=hidden]), select')]"
    assert page.evaluate(f"{fields}.filter(field => !field.labels.length).length") == 0


def test_a_restart_keeps_the_login(tmp_path: Path, visit: Visit) -> None:
    """Log in, stop the server, start another on the same folder: still logged in, and the values are there."""
    with serve(tmp_path) as address:
        page = visit(address)
        log_in(page, "Ada")
        save(page, "cart", "list", "apple")
        page.goto("about:blank")  # nothing is under way when the server stops
    with serve(tmp_path) as address:
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_have_text("Hello, Ada")
        expect(page.get_by_role("region", name="As the app sees it")).to_contain_text("'cart': ['apple']")
        page.goto("about:blank")


def test_without_javascript(demo: str, visit: Visit) -> None:
    """Everything works with JavaScript off."""
    page = visit(demo, java_script_enabled=False)
    log_in(page, "Ada")
    save(page, "cart", "list", "apple")
    page.get_by_label("Append to cart").fill("pear")
    press(page.get_by_role("button", name="Append"), "session['cart'].append('pear')")
    expect(page.get_by_role("region", name="As the app sees it")).to_contain_text("'cart': ['apple', 'pear']")
    press(page.locator("#cookie-form").get_by_role("button", name="Set cookie"), "response.set_cookie('theme'")
    assert jar(page)["theme"]["value"] == "dark"
    press(page.get_by_role("button", name="Log out"), "session.logout()")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, whoever you are")


def test_the_time_left_counts_down(demo: str, visit: Visit) -> None:
    """With JavaScript the time that is left runs: a login for a minute shows fewer seconds as they pass."""
    page = visit(demo)
    page.clock.install()
    page.reload()
    page.get_by_label("and stay so").select_option("minute")
    log_in(page, "Ada")
    left = page.locator("time[data-in]")
    page.clock.run_for(10_000)
    expect(left).to_have_text("in 50 s")
    page.clock.run_for(60_000)
    expect(left).to_have_text("over now: reload the page")
