"""A client of OpenAI-compatible endpoints that counts what it costs and pays for no answer twice.

Each answer is kept in a file as soon as it is there, by the hash of the request, so that a comparison that was stopped,
or stopped itself at its limit, goes on where it was. Keys come from the environment and are never written. A request is
sent only if its worst case stays within the limit; what was paid earlier in the same file counts.

Knows HTTP and money; no tasks, no models. Form: https://platform.openai.com/docs/api-reference.
"""

import hashlib
import json
import math
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

from softprompt.core.errors import ConfigError, ResourceError
from softprompt.core.files import append_private
from softprompt.lab.comparison.settings import ApiSettings

__all__ = ["Answered", "Endpoint", "Purse"]

#: Busy or broken for a while; everything else would only happen again.
PASSING = (408, 409, 425, 429, 500, 502, 503, 504)

#: Characters a token at the fewest, for the worst case of a request before it is sent.
CHARACTERS = 2

#: Longest wait between two tries, seconds.
LONGEST_WAIT = 30.0

#: Bytes of an answer that are read.
MOST_BYTES = 8 << 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An endpoint that sends us elsewhere would get our key sent there, too."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


@dataclass(frozen=True)
class Answered:
    """One answer.

    Attributes:
        text: As it came.
        tokens_in: Read, by the endpoint's count; None where it tells none.
        tokens_out: Written.
        ms: From the request to the answer, tries before it not counted.
    """

    text: str
    tokens_in: int | None
    tokens_out: int | None
    ms: float


class Purse:
    """Money that may be spent, shared by everybody who spends.

    Args:
        limit: US dollars; None: no limit.

    >>> purse = Purse(1.0)
    >>> purse.reserve(0.4)
    >>> purse.settle(0.4, 0.1)
    >>> round(purse.spent, 2)
    0.1
    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit, self.spent = limit, 0.0
        self._reserved, self._lock = 0.0, threading.Lock()
        self._counted: set[Path] = set()

    def reserve(self, usd: float) -> None:
        """Set the worst case of a request aside.

        Raises:
            ResourceError: ``resource.budget`` where it could go beyond the limit.
        """
        with self._lock:
            if self.limit is not None and self.spent + self._reserved + usd > self.limit:
                message = f"${self.spent:.4f} of ${self.limit:g} are spent, and the next request could cost ${usd:.4f}"
                cure = "raise --max-usd and run again: what was answered is kept"
                raise ResourceError("resource.budget", message, cure=cure)
            self._reserved += usd

    def paid(self, path: Path, usd: float) -> None:
        """Note what the answers of a file cost when they were asked for; a file counts once."""
        with self._lock:
            if path not in self._counted:
                self._counted.add(path)
                self.spent += usd

    def settle(self, reserved: float, usd: float) -> None:
        """Give back what was set aside, and note what the request really cost."""
        with self._lock:
            self._reserved -= reserved
            self.spent += usd


class Endpoint:
    """One model behind one endpoint.

    Args:
        settings: Where it is and what it costs.
        purse: What may be spent.
        folder: Where answers are kept; None keeps none.
        sleep: Between tries.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        purse: Purse,
        folder: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings, self.purse, self._sleep = settings, purse, sleep
        place = json.dumps([settings.url, settings.endpoint, settings.model])
        name = f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.jsonl"
        self._path = folder / name if folder is not None else None
        self._lock, self._key = threading.Lock(), ""
        self._kept = self._read()
        if self._path is not None:
            self.purse.paid(self._path, math.fsum(self.cost(one) or 0.0 for one in self._kept.values()))

    def ask(self, prompts: Sequence[str], *, max_tokens: int) -> list[Answered]:
        """Answers in the order of the prompts; several are asked at a time.

        Raises:
            ConfigError: ``config.invalid`` where the environment variable of the key is not set.
            ResourceError: ``resource.endpoint``, ``resource.budget``. What was answered before is kept.
        """
        self._key = self._read_key()
        with ThreadPoolExecutor(self.settings.parallel) as pool:
            futures = [pool.submit(self._one, prompt, max_tokens) for prompt in prompts]
            try:
                return [future.result() for future in futures]
            except BaseException:
                _cancel(futures)
                raise

    def cost(self, one: Answered) -> float | None:
        """US dollars; None without prices."""
        settings = self.settings
        if settings.price_in is None or settings.price_out is None:
            return None
        return ((one.tokens_in or 0) * settings.price_in + (one.tokens_out or 0) * settings.price_out) / 1e6

    def _one(self, prompt: str, max_tokens: int) -> Answered:
        body = self._body(prompt, max_tokens)
        request = json.dumps([self.settings.url, self.settings.endpoint, body], sort_keys=True)
        mark = hashlib.sha256(request.encode()).hexdigest()[:32]
        with self._lock:
            if (kept := self._kept.get(mark)) is not None:
                return kept
        worst = self.cost(Answered("", len(prompt) // CHARACTERS + 64, max_tokens, 0.0)) or 0.0
        self.purse.reserve(worst)
        paid = 0.0
        try:
            answered = self._sent(body)
            paid = self.cost(answered) or 0.0
        finally:
            self.purse.settle(worst, paid)
        with self._lock:
            self._kept[mark] = answered
            self._keep(mark, answered)
        return answered

    def _body(self, prompt: str, max_tokens: int) -> dict[str, Any]:
        common = {"model": self.settings.model, "max_tokens": max_tokens, "temperature": 0}
        if self.settings.endpoint == "completions":
            return {**common, "prompt": prompt}
        return {**common, "messages": [{"role": "user", "content": prompt}]}

    def _sent(self, body: Mapping[str, Any]) -> Answered:
        """The answer, after as many tries as are allowed."""
        path = "completions" if self.settings.endpoint == "completions" else "chat/completions"
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        url, data = f"{self.settings.url.rstrip('/')}/{path}", json.dumps(body).encode()
        reason = ""
        for n in range(self.settings.retries + 1):
            begun = time.perf_counter()
            try:
                request = urllib.request.Request(url, data, headers)
                with _OPENER.open(request, timeout=self.settings.timeout) as response:
                    said = _whole(response, until=begun + self.settings.timeout)
                return self._read_answer(said, 1000 * (time.perf_counter() - begun))
            except urllib.error.HTTPError as error:
                wait = error.headers.get("Retry-After")
                reason = f"{error.code}: {_said(error)}"
                passing = error.code in PASSING
            except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: what no host can be called
                wait, passing = None, not isinstance(error, UnicodeError)
                reason = str(getattr(error, "reason", error) or type(error).__name__)
            if not passing or n == self.settings.retries:
                break
            self._sleep(min(LONGEST_WAIT, float(wait) if wait and wait.isdigit() else 0.5 * 2**n))
        message = f"{url} does not answer for {self.settings.model!r}: {self._clean(reason)}"
        cure = "check url, model and key_env; what was answered is kept"
        raise ResourceError("resource.endpoint", message, cure=cure)

    def _read_answer(self, said: bytes, ms: float) -> Answered:
        try:
            document = json.loads(said)
            choice = document["choices"][0]
            text = choice["text"] if self.settings.endpoint == "completions" else choice["message"]["content"]
            usage = document.get("usage") or {}
            read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if not isinstance(text, str | None) or not all(_is_count(one) for one in (read, written)):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            message = f"{self.settings.url} answers in another form: {self._clean(said[:200].decode(errors='replace'))}"
            raise ResourceError(
                "resource.endpoint", message, cure="is it OpenAI's? try endpoint: completions"
            ) from None
        if self.settings.priced and None in (read, written):
            message = f"{self.settings.url} does not say how many tokens it read and wrote: its cost cannot be counted"
            raise ResourceError("resource.endpoint", message, cure="leave the prices and --max-usd out")
        return Answered(_writable(text or ""), read, written, round(ms, 3))

    # --- keys and kept answers

    def lacks_key(self) -> str:
        """Why nothing can be asked, before anything is: the key is not there; empty where it is, or none is needed."""
        try:
            self._read_key()
        except ConfigError as error:
            return str(error)
        return ""

    def _read_key(self) -> str:
        name = self.settings.key_env
        if name is None:
            return ""
        if not (key := os.environ.get(name, "").strip()):
            message = f"{self.settings.called}: the environment variable {name} is not set"
            raise ConfigError("config.invalid", message, cure=f"export {name}=..., or leave key_env out")
        return key

    def _clean(self, text: str) -> str:
        """One line without the key, which an endpoint may repeat."""
        line = _writable(" ".join(text.split())[:300])
        return line.replace(self._key, "***") if self._key else line

    def _read(self) -> dict[str, Answered]:
        """What was answered before; a line that a kill left half-written is asked for again."""
        found: dict[str, Answered] = {}
        if self._path is None or not self._path.exists():
            return found
        text = self._path.read_text("utf-8", errors="replace")
        if text and not text.endswith("\n"):
            append_private(self._path, "\n")
        for line in text.split("\n"):  # not splitlines: an answer may hold other breaks of lines
            try:
                kept = json.loads(line)
                mark = kept.pop("request")
                found[mark] = Answered(**kept)
            except (ValueError, TypeError, LookupError, AttributeError):
                continue
        return found

    def _keep(self, mark: str, answered: Answered) -> None:
        if self._path is None:
            return
        append_private(self._path, json.dumps({"request": mark, **asdict(answered)}) + "\n")


def _whole(response: HTTPResponse, *, until: float) -> bytes:
    """What an endpoint says, to its end, as long as it keeps the time and the size.

    Raises:
        TimeoutError: It sends a little now and then, and never comes to an end.
        IncompleteRead: It stopped before the end that it had announced.
    """
    said = b""
    while len(said) < MOST_BYTES and (part := response.read1(MOST_BYTES - len(said))):
        said += part
        if time.perf_counter() > until:
            raise TimeoutError("timed out")
    if response.length and len(said) < MOST_BYTES:
        raise IncompleteRead(said, response.length)
    return said


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _writable(text: str) -> str:
    """Text without halves of surrogate pairs, which JSON can name and no file can hold.

    >>> _writable("fine " + chr(0xD83D))
    'fine ?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def _cancel(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def _said(error: urllib.error.HTTPError) -> str:
    """What an endpoint says of its refusal."""
    try:
        document = json.loads(error.read(MOST_BYTES))
        found = document["error"]
        return str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, LookupError, TypeError, OSError):
        return str(error.reason)
