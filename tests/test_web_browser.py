"""The page in a real browser: it shows who moves, its buttons record, it comes back, and it fits a phone."""

import re
import socket
import threading
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from stream.app.page import write_snapshot
from stream.app.take_page import TakePage
from stream.recordings.export import export
from stream.recordings.replay import read_events, replay
from stream.recordings.takes import find_take, open_take
from stream.selection import Selection
from stream.sinks._token import Token
from stream.web.film import Film
from tests.api import opened
from tests.pages import LOOPBACK, until

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-dev.txt")
from tests import chromium  # noqa: E402 - it imports playwright

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(chromium.PROGRAM is None, reason="needs a browser: apt install chromium"),
]
SHOWN = "() => scene.moment && scene.moment.people.length"
PICTURE = "() => scene.picture()"
JOINTS = "() => scene.moment.people[0].joints"


@pytest.fixture(scope="module")
def browser():
    with chromium.started() as browser:
        yield browser


@pytest.fixture
def live(known_detector, tmp_path, monkeypatch, capfd):
    """Makes runs of a figure that walks, each with its page; the link."""
    monkeypatch.chdir(tmp_path)

    @contextmanager
    def run(port=0):
        with opened("synthetic:frames=100000", realtime=True, web=port):
            found = []
            until(
                lambda: found.extend(re.findall(r"page: (\S+#token=\S+)", capfd.readouterr().err)) or found, "no link"
            )
            yield found[0]

    return run


class Cable:
    """A line to a port that can be cut; ``port`` is its near end."""

    def __init__(self, far):
        self._far, self._near, self._lines = far, socket.create_server(("127.0.0.1", 0)), []
        self.port = self._near.getsockname()[1]
        self._broken = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):  # closed
            while True:
                ends = self._near.accept()[0], socket.create_connection(("127.0.0.1", self._far))
                if self._broken:
                    self._end(*ends)
                    continue
                self._lines.append(ends)
                for way in (ends, ends[::-1]):
                    threading.Thread(target=self._carry, args=way, daemon=True).start()

    def _carry(self, one, other):
        with suppress(OSError):  # cut
            while data := one.recv(1 << 16):
                other.sendall(data)
        self._end(one, other)

    def _end(self, *ends):
        for end in ends:
            with suppress(OSError):  # ended already
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self):
        self._broken = False

    def cut(self):
        self._broken = True
        for ends in self._lines:
            self._end(*ends)
        self._lines.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end(self._near)
        self.cut()


def test_the_page_loads_and_a_skeleton_moves(browser, live):
    with live() as link, chromium.tab(browser) as page:
        page.goto(link)
        page.wait_for_function(SHOWN)
        assert "token" not in page.url, "it is not left where others read it"
        first, before = page.evaluate(JOINTS), page.evaluate(PICTURE)
        page.wait_for_function("first => scene.moment.people[0].joints.join() !== first", arg=",".join(map(str, first)))
        page.wait_for_function("before => scene.picture() !== before", arg=before)
        assert "5 hypotheses" in page.inner_text("#title")
        assert len(page.query_selector_all("#bars .bar")) == 5
        page.wait_for_selector("#facts dd")
        assert {"fps", "detector", "known"} <= set(page.inner_text("#facts").split())
        assert "cam0" in page.inner_text("#healths")
        page.wait_for_function("() => !document.querySelector('#strip figure').hidden")
        for name in ("ghosts", "sigma", "cameras", "pictures"):
            page.uncheck(f"#{name}")
        assert page.locator("#strip figure").first.is_hidden()


def test_buttons_and_keys_record_mark_and_hold(browser, live, tmp_path):
    with live() as link, chromium.tab(browser) as page:
        page.goto(link)
        page.wait_for_function(SHOWN)
        page.click("#record")
        page.wait_for_selector("#record.now")
        page.fill("#words", "the jump")
        page.click("#mark button")
        page.wait_for_selector("#toasts li:has-text('the jump')")
        page.keyboard.press("e")
        page.wait_for_selector("#toasts li:has-text('mark')")
        page.keyboard.press(" ")
        page.wait_for_selector("#pause.now")
        held = page.evaluate("() => scene.moment.index")
        page.keyboard.press(" ")
        page.wait_for_selector("#pause:not(.now)")
        page.wait_for_function("held => scene.moment.index > held", arg=held)
        page.keyboard.press("r")
        page.wait_for_selector("#record:not(.now)")
    # Only now: what writes it may have taken longer to load than all of that.
    take = find_take(tmp_path / "recordings")
    assert len(list(replay(open_take(take)))) > 3
    assert [(event.source, event.text) for event in read_events(open_take(take))] == [
        ("page", "the jump"), ("page", "mark"),
    ]  # fmt: skip


def test_without_the_token_it_only_watches(browser, live):
    with live() as link, chromium.tab(browser) as page:
        page.goto(link.partition("#")[0])
        page.wait_for_function(SHOWN)
        assert page.is_disabled("#record") and "only watches" in page.inner_text("#why")
        page.keyboard.press("r")
        # The link pasted into the same tab.
        page.evaluate("hash => { location.hash = hash; }", link.partition("#")[2])
        page.wait_for_selector("#record:not([disabled])")
        assert not page.evaluate("() => document.querySelector('#record').classList.contains('now')")


def test_a_dropped_connection_comes_back(browser, live):
    with live() as link:
        port, secret = re.fullmatch(r"http://127.0.0.1:(\d+)/#(.*)", link).groups()
        with Cable(int(port)) as cable, chromium.tab(browser) as page:
            page.goto(f"http://127.0.0.1:{cable.port}/#{secret}")
            page.wait_for_function(SHOWN)
            cable.cut()
            page.wait_for_selector("#banner:not([hidden])")
            assert "lost" in page.inner_text("#banner")
            cable.mend()
            page.wait_for_selector("#banner", state="hidden")
            seen = page.evaluate("() => scene.moment ? scene.moment.index : 0")
            page.wait_for_function("seen => scene.moment && scene.moment.index > seen", arg=seen)
            page.click("#record")  # it still may
            page.wait_for_selector("#record.now")


def test_a_run_that_ends_and_another_that_begins(browser, live):
    with chromium.tab(browser) as page:
        with live() as link:
            page.goto(link)
            page.wait_for_function(SHOWN)
        page.wait_for_selector("#banner:has-text('the run has ended')")
        with live(int(re.search(r":(\d+)/", link)[1])):
            page.wait_for_selector("#banner", state="hidden")
            page.wait_for_function(SHOWN)
            page.wait_for_selector("#why:not([hidden])")  # another run, another token


def test_it_fits_a_phone_and_a_tap_picks(browser, live):
    with live() as link, chromium.tab(browser, **chromium.PHONE) as page:
        page.goto(link)
        page.wait_for_function(SHOWN)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        for name in ("#record", "#pause", "#mark button"):
            box = page.locator(name).bounding_box()
            assert box["y"] + box["height"] <= 844 and box["height"] >= 36, f"{name} is under the thumb"
        page.tap("#people button")
        page.wait_for_selector("#people button.chosen")
        page.tap("#record")
        page.wait_for_selector("#record.now")


@pytest.fixture
def filmed(known_detector, tmp_path):
    with opened("synthetic:frames=90", record=str(tmp_path / "takes"), record_video=True) as run:
        for estimate in run:
            if estimate.index == 30:
                run.control.event("user", "the jump")
    return open_take(find_take(tmp_path / "takes"))


def test_a_take_is_wound_and_a_part_of_it_exported(browser, filmed, tmp_path):
    film, token = Film(filmed), Token()
    film.load()
    token.prepare()

    def part(to, out, start, end):
        export(filmed, to, out, start=start, end=end)

    page = TakePage(LOOPBACK, token, film, ("npz",), part)
    page.server.start()
    try:
        with chromium.tab(browser) as tab:
            tab.goto(f"{page.server.link}#token={token._value}")
            tab.wait_for_function("() => scene.moment && scene.moment.index === 0")
            tab.click("#on")
            tab.wait_for_function("() => scene.moment.index === 1")
            tab.wait_for_function("() => !document.querySelector('#strip figure').hidden")
            tab.select_option("#speed", "4")
            tab.click("#play")
            tab.wait_for_function("() => scene.moment.index > 40")
            tab.click("#play")
            at = int(tab.evaluate("() => film.take.events[0][0]"))
            tab.click("#events button")
            tab.wait_for_function("at => scene.moment.index === at", arg=at)
            tab.keyboard.press("End")
            tab.wait_for_function("() => scene.moment.index === 89")
            for key in (*["ArrowLeft"] * 3, "]", *["ArrowLeft"] * 4, "["):
                tab.keyboard.press(key)
            assert tab.inner_text("#span") == "moments 83 to 87"
            with tab.expect_download() as download:
                tab.click("#export")
            download.value.save_as(tmp_path / "part.npz")
            with np.load(tmp_path / "part.npz") as table:
                assert table["moment"].tolist() == list(range(82, 87))
    finally:
        page.stop()


def test_a_snapshot_plays_without_us_and_without_a_network(browser, filmed, tmp_path):
    out = tmp_path / "page.html"
    write_snapshot(filmed, out, Selection(), None, None, pictures=True, force=False)
    with chromium.tab(browser, offline=True) as tab:
        asked = []
        tab.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        tab.goto(out.as_uri())
        tab.wait_for_function("() => scene.moment && scene.moment.index === 0")
        tab.wait_for_function("() => !document.querySelector('#strip figure').hidden")
        tab.keyboard.press("End")
        tab.wait_for_function("() => scene.moment.index === 89")
        tab.keyboard.press("Home")
        tab.keyboard.press(" ")
        tab.wait_for_function("() => scene.moment.index > 5")
        assert tab.locator("#export").is_hidden() and tab.locator("#buttons").is_hidden()
        assert set(asked) <= {"file", "blob", "data"}
