"""Whether a hub can give a model at all, asked once before anybody tries for half a minute.

Loading a name that is in no cache repeats its first request five times when the network does not answer, and says so
each time. One request tells the same at once. Nothing is downloaded here, and what the hub answers is left to loading.
"""

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from softprompt.core.errors import ModelError

__all__ = ["require_reachable"]

#: Of every model; the first that loading asks for.
_FIRST = "config.json"

#: Seconds for the hub to answer.
PATIENCE = 10.0

_CURE = "check the name and the network; a folder needs its path, and 'embedded' is always there"


def require_reachable(name: str, *, revision: str | None = None) -> None:
    """Refuse a hub id that is in no local cache while the hub does not answer.

    Args:
        name: Hub id.
        revision: Branch, tag or commit.

    Raises:
        ModelError: ``model.not_found``: no name that a hub could have, or nobody can be asked for it.

    >>> require_reachable("my model")
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: 'my model' is neither a folder nor a name that a hub could have ...
    """
    try:
        if try_to_load_from_cache(name, _FIRST, revision=revision) is not None or HF_HUB_OFFLINE:
            return
    except HFValidationError:
        message = f"{name!r} is neither a folder nor a name that a hub could have"
        raise ModelError("model.not_found", message, cure=_CURE) from None
    try:
        get_hf_file_metadata(hf_hub_url(name, _FIRST, revision=revision), timeout=PATIENCE)
    except HfHubHTTPError:
        return  # it answers: an unknown, gated or private model is told where it is loaded
    except Exception as error:  # httpx, requests or the socket, by the version of huggingface_hub
        message = (
            f"{name!r} is neither a folder nor in the local cache, and the hub cannot be reached ({_short(error)})"
        )
        raise ModelError("model.not_found", message, cure=_CURE) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
