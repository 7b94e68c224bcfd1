"""API models against a local server of ours that counts, refuses and asks for keys: nothing is paid twice."""

import json
import stat
import sys
import threading
from contextlib import contextmanager
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from softprompt.core.errors import ConfigError, ResourceError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.prompting.api import ApiContender, read_label
from softprompt.lab.comparison.prompting.endpoint import Endpoint, Purse, _whole
from softprompt.lab.comparison.settings import ApiSettings
from softprompt.model.templates import Template

TASK = Task.classify(["billing", "delivery"])
TRAIN = Dataset(
    tuple(
        Example({"text": text}, label, id=text)
        for text, label in (
            ("wrong sum", "billing"),
            ("late parcel", "delivery"),
            ("high fee", "billing"),
            ("lost box", "delivery"),
        )
    )
)
ROWS = [
    Example({"text": text}, label, id=text) for text, label in (("fee again", "billing"), ("no parcel", "delivery"))
]
KEY = "secret-key-of-the-test"


class Local:
    """What the server does and what it was sent."""

    def __init__(self):
        self.sent, self.keys, self.paths, self.plan = [], [], [], []
        self.usage = True

    def answer(self, body):
        text = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        last = text.rstrip().splitlines()[-1]
        label = "Billing." if "fee" in last or "sum" in last else "It is about delivery" if "parcel" in last else "???"
        choice = {"message": {"content": label}} if "messages" in body else {"text": label}
        usage = {"usage": {"prompt_tokens": len(text), "completion_tokens": len(label)}} if self.usage else {}
        return {"choices": [choice], **usage}


@contextmanager
def served():
    local = Local()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            local.keys.append(self.headers.get("Authorization"))
            local.paths.append(self.path)
            status, headers, said = local.plan.pop(0) if local.plan else (200, {}, None)
            if status == 200:
                local.sent.append(body)
                said = local.answer(body) if said is None else said
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    local.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield local
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def local():
    with served() as found:
        yield found


def settings(local, **changes):
    return ApiSettings.parse({"url": local.url, "model": "some", "parallel": 1, "retries": 2, **changes})


def contender(local, *, purse=None, folder=None, **changes):
    own = settings(local, **changes)
    endpoint = Endpoint(own, purse=purse or Purse(), folder=folder, sleep=lambda seconds: None)
    return ApiContender(own, Template.parse("{text}<soft 3> It was {answer}"), endpoint)


def test_zero_shot_asks_and_reads_labels(local):
    fitted = contender(local, price_in=1.0, price_out=2.0).fit(TRAIN, None, TASK)
    said = fitted.predict([*ROWS, Example({"text": "hello"}, "billing")])
    assert [one.answer for one in said] == ["billing", "delivery", None]
    assert fitted.note == "1 answers named no candidate"
    text = local.sent[0]["messages"][0]["content"]
    assert text == "Answer with exactly one of these and nothing else: billing, delivery.\n\nfee again It was"
    assert local.sent[0]["temperature"] == 0
    tokens_in, tokens_out = (
        sum(counts) for counts in zip(*[(len(b["messages"][0]["content"]), 0) for b in local.sent], strict=True)
    )
    written = len("Billing.") + len("It is about delivery") + len("???")
    assert fitted.usd == pytest.approx((tokens_in + 2 * (tokens_out + written)) / 1e6)
    assert fitted.tokens == pytest.approx((tokens_in / 3, written / 3))
    assert fitted.latency_ms > 0


@pytest.mark.parametrize("choose", ["random", "similar"])
def test_few_shot_shows_answered_rows(local, choose):
    fitted = contender(local, shots=1, choose=choose).fit(TRAIN, None, TASK, seed=1)
    fitted.predict(ROWS[:1])
    text = local.sent[0]["messages"][0]["content"]
    assert text.count(" It was billing\n\n") + text.count(" It was delivery\n\n") == 2
    assert text.endswith("fee again It was")
    assert fitted.usd is None
    if choose == "similar":
        assert "high fee It was billing\n\nfee again It was" in text


def test_completions_and_written_answers(local):
    task = Task.generate(target="answer", max_new_tokens=7)
    fitted = contender(local, endpoint="completions").fit(TRAIN, None, task)
    (said,) = fitted.predict([Example({"text": "the fee"})])
    assert (said.text, said.probabilities) == ("Billing.", None)
    assert local.paths == ["/v1/completions"]
    assert local.sent[0]["max_tokens"] == 7


def test_nothing_is_paid_twice_and_answers_are_private(local, tmp_path):
    contender(local, folder=tmp_path).fit(TRAIN, None, TASK).predict(ROWS)
    again = contender(local, folder=tmp_path).fit(TRAIN, None, TASK)
    assert [one.answer for one in again.predict(ROWS)] == ["billing", "delivery"]
    assert len(local.sent) == 2
    (path,) = tmp_path.iterdir()
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text(path.read_text() + '{"request": "half')
    assert contender(local, folder=tmp_path).fit(TRAIN, None, TASK).predict(ROWS)[0].answer == "billing"


def test_the_limit_is_kept_and_more_money_goes_on_where_it_was(local, tmp_path):
    prices = {"price_in": 100.0, "price_out": 100.0, "max_tokens": 20}
    purse = Purse(0.02)
    with pytest.raises(ResourceError, match=r"of \$0\.02 are spent") as error:
        contender(local, purse=purse, folder=tmp_path, **prices).fit(TRAIN, None, TASK).predict(ROWS)
    assert error.value.code == "resource.budget"
    assert len(local.sent) == 1
    assert 0 < purse.spent <= 0.02
    more = Purse(1.0)
    fitted = contender(local, purse=more, folder=tmp_path, **prices).fit(TRAIN, None, TASK)
    assert more.spent == pytest.approx(purse.spent)
    fitted.predict(ROWS)
    assert len(local.sent) == 2
    assert more.spent == pytest.approx(fitted.usd)


def test_a_file_counts_once_for_two_contenders(local, tmp_path):
    prices = {"price_in": 1.0, "price_out": 1.0}
    contender(local, folder=tmp_path, **prices).fit(TRAIN, None, TASK).predict(ROWS)
    purse = Purse(1.0)
    for shots in (0, 1):
        contender(local, purse=purse, folder=tmp_path, shots=shots, **prices)
    one = Purse()
    contender(local, purse=one, folder=tmp_path, **prices)
    assert purse.spent == pytest.approx(one.spent)


def test_the_key_comes_from_the_environment_and_is_never_written(local, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="TEST_API_KEY is not set"):
        contender(local, key_env="TEST_API_KEY").fit(TRAIN, None, TASK).predict(ROWS)
    monkeypatch.setenv("TEST_API_KEY", KEY)
    contender(local, key_env="TEST_API_KEY", folder=tmp_path).fit(TRAIN, None, TASK).predict(ROWS)
    assert local.keys == [f"Bearer {KEY}"] * 2
    assert KEY not in "".join(path.read_text() for path in tmp_path.iterdir())
    local.plan = [(401, {}, {"error": {"message": f"bad key {KEY}"}})]
    with pytest.raises(ResourceError) as error:
        contender(local, key_env="TEST_API_KEY").fit(TRAIN, None, TASK).predict(ROWS[:1])
    assert KEY not in str(error.value)
    assert "401: bad key ***" in str(error.value)


def test_busy_is_waited_for_and_broken_is_said(local):
    local.plan = [(429, {"Retry-After": "1"}, "slow down"), (503, {}, "")]
    waited = []
    own = settings(local)
    endpoint = Endpoint(own, purse=Purse(), sleep=waited.append)
    assert endpoint.ask(["a fee"], max_tokens=3)[0].text == "Billing."
    assert waited == [1.0, 1.0]
    local.plan = [(503, {}, "")] * 3
    with pytest.raises(ResourceError, match="does not answer for 'some': 503") as error:
        endpoint.ask(["another fee"], max_tokens=3)
    assert error.value.code == "resource.endpoint"


def test_a_redirect_does_not_carry_the_key_away(local, monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", KEY)
    with served() as elsewhere:
        local.plan = [(302, {"Location": f"{elsewhere.url}/chat/completions"}, "")]
        with pytest.raises(ResourceError, match="302"):
            Endpoint(settings(local, key_env="TEST_API_KEY"), purse=Purse()).ask(["a fee"], max_tokens=3)
        assert elsewhere.keys == []


@pytest.mark.parametrize("said", ["<html>", {"choices": []}, {"choices": [{"message": {"content": 3}}]}, "[]"])
def test_another_form_is_said(local, said):
    local.plan = [(200, {}, said)]
    with pytest.raises(ResourceError, match="answers in another form"):
        Endpoint(settings(local), purse=Purse()).ask(["a fee"], max_tokens=3)


@pytest.mark.parametrize("usage", [{"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": True}])
def test_counts_that_are_none_pay_nothing_back(local, usage):
    local.plan = [(200, {}, {"choices": [{"message": {"content": "billing"}}], "usage": usage})]
    with pytest.raises(ResourceError, match="answers in another form"):
        contender(local).fit(TRAIN, None, TASK).predict(ROWS)


def test_nesting_without_end_is_another_form(local):
    local.plan = [(200, {}, "[" * 200_000)]
    with pytest.raises(ResourceError, match="answers in another form"):
        contender(local).fit(TRAIN, None, TASK).predict(ROWS)


def test_an_answer_that_breaks_off_is_asked_for_again(local):
    local.plan = [(200, {"Content-Length": "100", "Connection": "close"}, "{")]
    assert [one.answer for one in contender(local).fit(TRAIN, None, TASK).predict(ROWS[:1])] == ["billing"]
    assert len(local.sent) == 2


def test_a_trickle_that_never_ends_is_no_answer():
    class Trickle(HTTPResponse):
        def __init__(self):
            self.fp, self.length = None, None

        def read1(self, n=-1):
            return b" "

    with pytest.raises(TimeoutError):
        _whole(Trickle(), until=0.0)


def test_no_host_can_be_called_so(local):
    with pytest.raises(ResourceError, match="does not answer"):
        contender(local, url=f"http://{'a' * 70}.example/v1").fit(TRAIN, None, TASK).predict(ROWS)


def test_what_was_paid_for_is_read_again_whatever_it_holds(local, tmp_path):
    words = "one\u2028two\u0085 three \ud83d"
    local.plan = [(200, {}, json.dumps({"choices": [{"message": {"content": words}}]}))]
    generate = Task.generate()
    (first,) = contender(local, folder=tmp_path).fit(TRAIN, None, generate).predict(ROWS[:1])
    (again,) = contender(local, folder=tmp_path).fit(TRAIN, None, generate).predict(ROWS[:1])
    assert (len(local.sent), again.answer) == (1, first.answer)
    assert first.answer.encode()


def test_a_line_that_a_kill_left_half_written_costs_itself_alone(local, tmp_path):
    contender(local, folder=tmp_path).fit(TRAIN, None, TASK).predict(ROWS[:1])
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + '{"request": "x", "text": "ü'.encode()[:-1])
    for asked in (2, 2):
        contender(local, folder=tmp_path).fit(TRAIN, None, TASK).predict(ROWS)
        assert len(local.sent) == asked


def test_prices_without_a_count_of_tokens_are_refused(local):
    local.usage = False
    assert Endpoint(settings(local), purse=Purse()).ask(["a fee"], max_tokens=3)[0].tokens_in is None
    with pytest.raises(ResourceError, match="cost cannot be counted"):
        Endpoint(settings(local, price_in=1, price_out=1), purse=Purse()).ask(["b fee"], max_tokens=3)


def test_labels_are_read_by_their_longest_names():
    labels = ["late", "late delivery", "bill"]
    assert read_label("Late delivery!", labels) == 1
    assert read_label("late delivery, I think", labels) == 1
    assert read_label("The bill", labels) == 2
    assert read_label("", labels) is None
    assert read_label("B_01", ["billing"], names=["B_01"]) == 0
    assert read_label("reasoning\nbill", labels) == 2
