"""The feedback page in a real browser: nothing accepted is lost, nothing is stored twice, generated text stays text."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("starlette", "uvicorn"):
    pytest.importorskip(package)
playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright")

from feedback_server import serving  # noqa: E402

from agents.feedback import Store, Text  # noqa: E402
from agents.feedback.guard import Token  # noqa: E402

ROOT = Path(__file__).parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="the browser tests need Chromium on the PATH"),
]
PAIRS = [Text("Copy-v0", f"prompt {i}", f"{word} text {i}") for i in range(4) for word in ("some", "other")]
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> "
    "a\u202eb\u0007 \U0001f44d\U0001f3fd good"
)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        made = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def open_page(browser):
    """Open the page of a port as somebody; what goes wrong in it fails the test."""
    contexts, wrong = [], []

    def open_as(name, port, fragment="", locale="en-US"):
        context = browser.new_context(locale=locale)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.goto(f"http://127.0.0.1:{port}/{fragment}")
        if name:
            page.fill("#name", name)
            page.keyboard.press("Enter")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert [text for text in wrong if "Failed to load resource" not in text] == []


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "f.db", texts=PAIRS) as made:
        yield made


def ready(page):
    """Wait until an answer would be taken."""
    page.wait_for_selector("main[aria-busy=false]")
    page.wait_for_timeout(250)  # keys pressed earlier are meant for the item before


def press(page, *keys):
    for key in keys:
        ready(page)
        page.keyboard.press(key)
    ready(page)


def wait_for_count(page, number):
    """Until the page says that so many are stored."""
    page.locator("#counts", has_text=re.compile(f"^{number} by you")).wait_for()


def shown(page):
    return [int(id) for id in page.locator("[data-text]").evaluate_all("all => all.map(e => e.dataset.text)")]


def test_rate_compare_mark_undo_and_reload_with_the_keyboard_alone(server, open_page):
    page = open_page("ann", server.port)
    ready(page)
    pair = shown(page)
    press(page, "2", "1", "3", "r", "5")
    comparisons = [j.answer for j in server.store.judgements("comparison")]
    first = comparisons[0]
    assert {first.a, first.b} == set(pair) and len(comparisons) == 3
    assert {"a": first.a, "b": first.b}[first.choice] == pair[1] and {"a": first.a, "b": first.b}[first.first] == pair[
        0
    ]
    assert comparisons[2].choice == "tie"
    assert [j.answer.rating for j in server.store.judgements("rating")] == [5]
    page.reload()
    ready(page)
    assert page.get_attribute("[data-kind=rating]", "aria-pressed") == "true" and "1 by you" in page.inner_text(
        "#counts"
    )
    press(page, "u")
    assert server.store.judgements("rating") == [] and page.inner_text("#status").startswith("Undone")
    press(page, "4", "m")
    marked = shown(page)[0]
    press(page, "g", "ArrowRight", "Shift+ArrowRight", "b", "Enter")
    (rating,), (marks,) = (server.store.judgements(kind) for kind in ("rating", "marks"))
    text = server.store.texts([marked])[0].text
    spans = [(text[span.start : span.end], span.label) for span in marks.answer.spans]
    assert marks.answer.text == marked and spans == [(text.split()[0], "good"), (" ".join(text.split()[1:]), "bad")]
    assert (
        rating.answer.rating == 4
        and rating.annotator == "ann"
        and rating.seconds > 0
        and re.fullmatch("[0-9a-f]{12}", rating.page)
    )


def test_buttons_do_what_keys_do_in_chinese_too_and_all_have_names(server, open_page):
    page = open_page("安", server.port, locale="zh-CN")
    ready(page)
    assert page.get_attribute("html", "lang") == "zh-CN" and page.inner_text("#question") == "哪一段更好？"
    page.get_by_role("button", name="都不好").click()
    ready(page)
    page.get_by_role("button", name="English").click()
    assert page.inner_text("#question") == "Which text is better?"
    page.get_by_role("button", name="Second is better").click()
    ready(page)
    first = shown(page)
    page.get_by_role("button", name="Skip").click()
    ready(page)
    assert set(shown(page)) != set(first)
    page.get_by_role("button", name="Mark").click()
    ready(page)
    page.locator(".unit", has_text="text").click()
    page.get_by_role("button", name="Bad").click()
    page.get_by_role("button", name="Done").click()
    ready(page)
    kinds = [(j.annotator, j.answer.kind) for j in server.store.judgements()]
    assert kinds == [("安", "comparison"), ("安", "comparison"), ("安", "marks")]
    marks = server.store.judgements("marks")[0].answer
    assert server.store.texts([marks.text])[0].text[marks.spans[0].start : marks.spans[0].end] == "text"
    unnamed = "all => all.filter(e => !(e.innerText || e.ariaLabel || '').trim()).map(e => e.outerHTML)"
    assert page.locator("button:visible").evaluate_all(unnamed) == []


def test_generated_text_is_text_and_offsets_are_of_characters(tmp_path, open_page):
    with serving(tmp_path / "f.db", texts=[Text("t", HOSTILE, HOSTILE)]) as server:
        page = open_page("ann", server.port)
        press(page, "m")
        assert page.title() == "Feedback" and page.locator("main script, main img").count() == 0
        for part in (page.locator("#prompt"), page.locator("[data-text]")):
            assert "<script>document.title='owned'</script>" in part.text_content()
            assert (
                "\u202e" not in part.text_content()
                and "U+202E RLO" in part.text_content()
                and "U+0007" in part.text_content()
            )
            style = part.evaluate("e => [e.dir, getComputedStyle(e).unicodeBidi]")
            assert style == ["auto", "isolate"]
        press(
            page, "End", "g", "ArrowLeft", "w", "b"
        )  # the emoji is one character to see, two code points, and 4 UTF-16 units
        page.keyboard.press("Enter")
        page.wait_for_selector("#nothing:visible")
        spans = server.store.judgements("marks")[0].answer.spans
        marked = [(HOSTILE[span.start : span.end], span.label) for span in spans]
        assert marked == [("\U0001f44d\U0001f3fd", "bad"), ("good", "good")]


def test_two_annotators_at_once(server, open_page):
    pages = {name: open_page(name, server.port) for name in ("ann", "bob")}
    for key in "1243":
        for page in pages.values():
            ready(page)
        for page in pages.values():  # both are on their way at once
            page.keyboard.press(key)
    for page in pages.values():
        page.wait_for_selector("#nothing:visible")
    judgements = server.store.judgements()
    for name in pages:
        own = [j.answer for j in judgements if j.annotator == name]
        assert len({(answer.a, answer.b) for answer in own}) == 4
        assert sorted(answer.choice for answer in own)[-2:] == ["both_bad", "tie"]


def test_an_answer_that_the_server_stored_but_could_not_confirm_is_stored_once(server, open_page):
    page = open_page("ann", server.port)
    ready(page)
    lost = []

    def lose(route):
        route.fetch()
        lost.append(route.request.post_data)
        route.abort() if len(lost) < 3 else route.fallback()

    page.route("**/api/judgements", lose)
    page.keyboard.press("1")
    wait_for_count(page, 1)
    assert len(lost) == 3 and len(set(lost)) == 1
    assert server.store.query("SELECT count(*) FROM judgements") == [(1,)]


def test_an_expired_link_keeps_the_answer_until_there_is_a_new_one(tmp_path, open_page):
    now = [0.0]
    token = Token(100.0, clock=lambda: now[0])
    with serving(tmp_path / "f.db", texts=PAIRS, token=token) as server:
        page = open_page("ann", server.port)
        page.wait_for_selector("#notice:visible")
        assert "has a token" in page.inner_text("#notice")
        page.evaluate("token => { location.hash = `token=${token}`; }", token.secret)
        ready(page)
        assert token.secret not in page.url
        now[0] = 200.0
        page.keyboard.press("1")
        page.wait_for_selector("#notice:visible")
        assert "expired" in page.inner_text("#notice") and server.store.judgements() == []
        now[0] = 50.0  # as a new link would
        page.evaluate("token => { location.hash = `token=${token}`; }", token.secret)
        wait_for_count(page, 1)
        assert len(server.store.judgements()) == 1


def start(store, port):
    command = [sys.executable, "-m", "agents.feedback", "serve", "--store", str(store), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
    return process


def test_a_server_killed_midway_loses_nothing_and_stores_nothing_twice(tmp_path, open_page):
    store = Store(tmp_path / "f.db")
    store.add_texts(PAIRS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start(store.path, port)
    try:
        page = open_page("ann", port)
        press(page, "1", "2")
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        assert len(store.judgements()) == 2, "what was accepted is there"
        page.keyboard.press("4")
        page.wait_for_selector("#notice:visible")
        assert "cannot be reached" in page.inner_text("#notice")
        page.keyboard.press("1")  # impatience
        server = start(store.path, port)
        wait_for_count(page, 3)
        page.reload()
        ready(page)
        assert [j.answer.choice for j in store.judgements()][2:] == ["both_bad"]
        assert store.query("SELECT count(*) FROM judgements") == [(3,)]
    finally:
        server.kill()
        server.wait()
        store.close()


def test_an_empty_store_says_what_to_do_and_shows_texts_as_they_come(tmp_path, open_page):
    with serving(tmp_path / "f.db", texts=[]) as server:
        page = open_page("ann", server.port)
        page.wait_for_selector("#nothing:visible")
        assert "no texts yet" in page.inner_text("#nothing") and "agents.feedback sample" in page.inner_text("#nothing")
        server.store.add_texts(PAIRS)
        page.wait_for_selector("[data-text]", timeout=30_000)
