"""The page's server: who may speak, what is refused, and that what is refused is not stored."""

import contextlib
import http.client
import json
import re
import socket

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from feedback_server import serving

from agents.feedback.guard import Token, is_loopback
from agents.feedback.server import PAGE, listen


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server") / "f.db") as made:
        yield made


@pytest.fixture
def fresh(tmp_path):
    with serving(tmp_path / "f.db") as made:
        yield made


def test_an_item_is_shown_without_its_writer_and_its_score(client):
    status, said, headers = client.request("GET", "/api/next?annotator=ann&kind=comparison")
    assert status == 200 and said["item"]["prompt"] == "p" and len(said["item"]["texts"]) == 2
    assert set(said["item"]) == {"kind", "task", "prompt", "texts"} and "secret" not in json.dumps(said)
    assert set(said["item"]["texts"][0]) == {"id", "text"} and "0.123" not in json.dumps(said)
    assert headers["cache-control"] == "no-store"


def test_answers_do_not_wait_for_receipts():
    with contextlib.closing(listen("127.0.0.1", 0)) as listening:
        with contextlib.closing(socket.create_connection(listening.getsockname())):
            answering, _ = listening.accept()
            with answering:
                assert answering.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_all_kinds_are_stored_and_a_double_submit_is_stored_once(fresh):
    assert fresh.judge()[1] == {"id": 1, "stored": True}
    assert fresh.judge()[1] == {"id": 1, "stored": False}
    comparison = {"kind": "comparison", "texts": [3, 1], "choice": "second", "rating": ..., "seconds": 1.5}
    assert fresh.judge(submission="c", **comparison)[0] == 200
    spans = [{"start": 0, "end": 4, "label": "good"}]
    assert fresh.judge(submission="m", kind="marks", texts=[2], rating=..., spans=spans)[0] == 200
    rating, compared, marks = fresh.store.judgements()
    assert (rating.answer.rating, rating.page, rating.annotator) == (4, "v", "ann")
    assert (compared.answer.a, compared.answer.b, compared.answer.choice, compared.answer.first) == (1, 3, "a", "b")
    assert compared.seconds == 1.5 and vars(marks.answer.spans[0]) == spans[0]
    body = {"submission": "u", "annotator": "ann", "page": "v"}
    for _ in range(2):
        status, said, _ = fresh.request("POST", "/api/undo", body)
        assert status == 200 and said["item"]["kind"] == "marks" and said["item"]["texts"][0]["id"] == 2
    _, said, _ = fresh.request("POST", "/api/undo", {**body, "submission": "v"})
    assert [text["id"] for text in said["item"]["texts"]] == [3, 1], "in the order in which they were shown"
    assert len(fresh.store.judgements()) == 1


@pytest.mark.parametrize(
    "changed, status, words",
    [
        ({"texts": [99]}, 422, "no text 99"),
        ({"texts": ["1; DROP TABLE texts"]}, 422, "id of a text"),
        ({"texts": [1.5]}, 422, "id of a text"),
        ({"texts": [True]}, 422, "id of a text"),
        ({"texts": 1}, 422, "texts must be a list"),
        ({"texts": [1, 2]}, 422, "list of 1"),
        ({"kind": "comparison", "texts": [1, 4], "choice": "first"}, 422, "different prompts"),
        ({"kind": "comparison", "texts": [1, 2], "choice": "a"}, 422, "unknown choice"),
        ({"kind": "comparison", "texts": [1, 2], "choice": ["first"]}, 422, "unknown choice"),
        ({"kind": "undo"}, 422, "unknown kind"),
        ({"kind": []}, 422, "unknown kind"),
        ({"rating": 6}, 422, "from 1 to 5"),
        ({"rating": ...}, 422, "needs rating"),
        ({"kind": "marks", "spans": {"start": 1}}, 422, "spans must be"),
        ({"kind": "marks", "spans": [{"start": 0, "end": 99, "label": "bad"}]}, 422, "ends at character 99"),
        ({"annotator": ""}, 422, "annotator must not be empty"),
        ({"annotator": 7}, 422, "annotator must be a text"),
        ({"annotator": "\ud800"}, 422, "surrogate"),
        ({"submission": ""}, 422, "submission must not be empty"),
        ({"submission": ...}, 422, "missing: submission"),
        ({"seconds": -1}, 422, "seconds"),
        ({"time": "yesterday"}, 422, "unknown field 'time'"),
    ],
)
def test_what_is_forged_is_refused_with_a_reason_and_not_stored(client, changed, status, words):
    found, said = client.judge(submission=changed.pop("submission", "forged"), **changed)
    assert found == status and words in said["detail"]
    assert client.store.query("SELECT count(*) FROM judgements") == [(0,)]


def test_a_submission_id_used_for_something_else_is_a_conflict(fresh):
    fresh.judge()
    status, said = fresh.judge(rating=1)
    assert (status, said["error"]) == (409, "conflict") and fresh.store.judgements()[0].answer.rating == 4


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"annotator": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(client, body):
    status, said, _ = client.request("POST", "/api/judgements", body)
    assert status == 422 and said["detail"]


@pytest.mark.parametrize(
    "headers, status, code",
    [
        ({"Host": "evil.example"}, 421, "host_unknown"),
        ({"Host": "evil.example:80"}, 421, "host_unknown"),
        ({"Host": "localhost.evil.example"}, 421, "host_unknown"),
        ({"Host": "192.168.1.7"}, 421, "host_unknown"),
        ({"Host": ""}, 421, "host_unknown"),
        ({"Origin": "http://evil.example"}, 403, "origin_unknown"),
        ({"Origin": "null"}, 403, "origin_unknown"),
        ({"Origin": "http://localhost:1"}, 403, "origin_unknown"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "origin_unknown"),
        ({"Sec-Fetch-Site": "same-site"}, 403, "origin_unknown"),
        ({"Content-Type": "text/plain"}, 415, "json_needed"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "json_needed"),
        ({"Content-Length": "9999999"}, 413, "too_large"),
    ],
)
def test_other_sites_and_rebound_names_are_refused(client, headers, status, code):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    body = json.dumps({"submission": "x", "annotator": "a", "kind": "rating", "page": "v", "texts": [1], "rating": 4})
    connection.request("POST", "/api/judgements", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]) == (status, code)
    connection.close()
    assert client.store.judgements() == []


@pytest.mark.parametrize("host", ["localhost:{}", "127.0.0.1:{}", "[::1]:{}", "LOCALHOST", "127.0.0.2"])
def test_names_of_this_machine_are_answered(client, host):
    host = host.format(client.port)
    assert client.request("GET", "/", Host=host)[0] == 200
    posted = client.request(
        "POST", "/api/undo", {"submission": "n", "annotator": "n", "page": ""}, Host=host, Origin=f"http://{host}"
    )
    assert posted[:2] == (200, {"item": None})


def test_loopback_is_told_from_what_looks_like_it():
    assert all(map(is_loopback, ["127.0.0.1", "::1", "localhost", "127.8.8.8"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.evil", "127.0.0.1.evil", ""]))


def test_elsewhere_a_token_is_needed_until_it_expires(tmp_path):
    now = [1000.0]
    token = Token(expires=2000.0, clock=lambda: now[0])
    assert token.secret not in repr(token)
    with serving(tmp_path / "f.db", token=token, hosts=["Lab.example"]) as client:
        path, right = "/api/next?annotator=a&kind=rating", f"Bearer {token.secret}"
        for said, code in (
            ("", "needed"),
            ("Basic x", "needed"),
            ("Bearer x", "wrong"),
            (right[:-1], "wrong"),
            ("Bearer \xe9", "wrong"),
        ):
            status, answer, _ = client.request("GET", path, Authorization=said)
            assert (status, answer["error"]) == (401, f"token_{code}")
        assert client.request("GET", path, Authorization=right)[0] == 200
        for host in ("lab.example:99", "192.168.1.7", "[2001:db8::1]:80"):
            assert client.request("GET", path, Authorization=right, Host=host)[0] == 200
        assert client.request("GET", path, Authorization=right, Host="evil.example")[0] == 421
        body = {"submission": "s", "annotator": "a", "kind": "rating", "page": "", "texts": [1], "rating": 1}
        now[0] = 2000.0
        status, answer, _ = client.request("POST", "/api/judgements", body, Authorization=right)
        assert (status, answer["error"]) == (401, "token_expired") and client.store.judgements() == []
        assert client.request("GET", "/")[0] == 200, "the page itself is no secret"


def test_an_empty_store_says_so(tmp_path):
    with serving(tmp_path / "f.db", texts=[]) as client:
        status, said, _ = client.request("GET", "/api/next?annotator=a&kind=marks")
        assert (status, said["item"], said["progress"]["texts"]) == (200, None, 0)
        assert client.judge()[0] == 422


@pytest.mark.parametrize(
    "query", ["kind=rating", "annotator=a", "annotator=a&kind=no", "annotator=a&kind=rating&skip=x"]
)
def test_a_query_that_is_none_is_refused(client, query):
    assert client.request("GET", f"/api/next?{query}")[0] == 422


@pytest.mark.parametrize(
    "path", ["/x", "/page/no.js", "/page/..%2fserver.py", "/page/../server.py", "/api/", "/api/judgements/1"]
)
def test_other_paths_are_not_there(client, path):
    assert client.request("GET", path)[0] in (404, 405)


def test_the_page_can_load_nothing_from_elsewhere_and_run_nothing_but_its_own_files(client):
    status, page, headers = client.request("GET", "/")
    policy = headers["content-security-policy"]
    assert status == 200 and "{{" not in page
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert client.request("GET", name)[0] == 200 and name.startswith("/page/")
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", page), (
        "nothing inline, which the policy would not run"
    )


def test_every_language_says_everything():
    words = (PAGE / "words.js").read_text(encoding="utf-8")
    blocks = re.findall(r"^  \w\w: \{(.*?)^  \},", words, flags=re.M | re.S)
    said = [set(re.findall(r"(?:^|[{,\s])(\w+): \"", block)) for block in blocks]
    assert len(said) == 2 and said[0] == said[1] and len(said[0]) > 50
    used = set(re.findall(r'data-(?:say|label)="(\w+)"', (PAGE / "index.html").read_text()))
    scripts = "".join((PAGE / name).read_text() for name in ("page.js", "marking.js"))
    used |= set(re.findall(r'\bsay\("(\w+)"', scripts))
    assert used <= said[0]
