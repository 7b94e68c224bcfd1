"""A promptfoo provider: asks a prompt behind `softprompt serve` and says its label, or what it writes.

Settings under ``config``: ``url`` of the server, ``prompt`` (its name), ``kind`` (``classify``, or ``write`` with any
setting of /v1/completions under ``settings``). Needs nothing but Python.
"""

import json
import urllib.error
import urllib.request
from typing import Any


def call_api(prompt: str, options: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """What promptfoo calls for every case; an error is an answer too."""
    config = options.get("config", {})
    name = config["prompt"]
    try:
        if config.get("kind", "classify") == "classify":
            said = _post(config, "/classify", {"model": name, "input": prompt})
            output = said["data"][0]["label"]
        else:
            said = _post(config, "/v1/completions", {"model": name, "prompt": prompt, **config.get("settings", {})})
            output = said["choices"][0]["text"]
    except urllib.error.HTTPError as error:
        return {"error": json.loads(error.read())["error"]["message"]}
    except OSError as error:
        return {"error": f"no answer from {config.get('url')}: {error}"}
    used = said["usage"]
    usage = {"total": used["total_tokens"], "prompt": used["prompt_tokens"], "completion": used["completion_tokens"]}
    return {"output": output, "tokenUsage": usage}


def _post(config: dict[str, Any], path: str, body: dict[str, Any]) -> Any:
    url = config.get("url", "http://127.0.0.1:8000") + path
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=config.get("timeout", 60)) as answer:
        return json.loads(answer.read())
