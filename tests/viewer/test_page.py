"""The page in a real browser: found by typing, walked by keyboard, text stays text, right on a phone."""

import threading
import time

import pytest

from avcurate.tasks.label_pem.view import LABEL_VIEW
from avcurate.viewer.app import make_app
from avcurate.viewer.index import Index
from avcurate.viewer.serve import listening
from tests.report.browser import chromium
from tests.viewer.conftest import HOSTILE

pytestmark = pytest.mark.slow
TOKEN = "secret-token"


@pytest.fixture
def address(runs):
    uvicorn = pytest.importorskip("uvicorn")
    app = make_app(Index([(run, LABEL_VIEW) for run in runs]), TOKEN)
    with listening(0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


def until(browser, script, seconds=10):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := browser.execute_script(f"return {script}"):
            return value
        time.sleep(0.05)
    pytest.fail(f"not so within {seconds} s: {script}")


def press(browser, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def write(browser, text):
    browser.execute_script(
        "const box = document.getElementById('search'); box.value = arguments[0];"
        "box.dispatchEvent(new Event('input'));",
        text,
    )


def test_searched_walked_and_read(address):
    from selenium.webdriver.common.keys import Keys

    with chromium() as b:
        b.set_window_size(1400, 900)
        b.get(f"{address}?token={TOKEN}")
        until(b, "document.querySelectorAll('#rows li').length === 30")
        assert "token" not in b.current_url
        # the first two rows by keyboard, then a search typed
        press(b, "j")
        first = until(b, "document.querySelector('#rows [aria-selected=true]')?.dataset.key")
        press(b, "j")
        until(b, f"document.querySelector('#rows [aria-selected=true]').dataset.key !== '{first}'")
        until(b, "document.querySelectorAll('#row .answers > div').length === 6")
        assert b.find_elements("css selector", "ol.steps li")
        until(b, "document.querySelectorAll('#row svg.wave rect').length === 240")
        press(b, "3")
        assert until(b, "document.querySelector('#row video').muted")
        press(b, "2")
        assert until(b, "document.querySelector('.hidden-picture') !== null")
        press(b, "/")
        press(b, "onerror")
        until(b, "document.querySelectorAll('#rows li').length === 1")
        press(b, Keys.ESCAPE, "j")
        until(b, "document.querySelector('#row h2')?.textContent.includes('onerror')")
        assert b.find_element("css selector", "#row h2").text == HOSTILE
        assert not b.find_elements("css selector", "#row h2 img, #rows img") and b.title != "1"
        # the address is the row's: opened again, the same row is shown
        link = b.current_url
        b.get("about:blank")
        b.get(link)
        until(b, "document.querySelector('#row h2')?.textContent.includes('onerror')")
        # a filter clicked writes its condition
        write(b, "")
        until(b, "document.querySelectorAll('#rows li').length === 30")
        b.execute_script("[...document.querySelectorAll('#filters button')].find(x => x.title === 'pem:Audio').click()")
        until(b, "document.getElementById('search').value === 'pem:Audio'")
        until(
            b,
            "[...document.querySelectorAll('#rows .tag')].every(t => t.textContent !== 'Visual' || t.previousSibling)",
        )
        write(b, "pam:x")
        until(b, "document.getElementById('error').textContent.includes(\"no column 'pam'\")")
        assert not [e for e in b.get_log("browser") if e["level"] == "SEVERE" and "400" not in e["message"]]


def test_a_phone_shows_the_list_then_the_row(address):
    with chromium() as b:
        b.set_window_size(400, 850)
        b.get(f"{address}?token={TOKEN}")
        until(b, "document.querySelectorAll('#rows li').length === 30")
        assert not b.find_element("id", "row").is_displayed()
        b.find_element("css selector", "#rows li").click()
        until(b, "document.querySelector('#row h2') !== null")
        assert b.find_element("id", "row").is_displayed() and not b.find_element("id", "list").is_displayed()
        assert b.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        b.find_element("css selector", ".back").click()
        assert b.find_element("id", "list").is_displayed()
