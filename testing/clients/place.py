"""Where the site is, and what every program here expects of it."""

import os

URL = os.environ["SITE_URL"]
KEY = os.environ["SITE_KEY"]
# A key with a budget of nearly nothing, and one with a request a minute.
POOR_KEY = os.environ["SITE_POOR_KEY"]
SLOW_KEY = os.environ["SITE_SLOW_KEY"]

QUESTION = "Wie warm ist es in Zürich? 🌡"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


def raised(kind, call):
    """The error, which must be of this kind."""
    try:
        call()
    except Exception as error:
        assert isinstance(error, kind), f"{kind.__name__} expected, not {error!r}"
        return error
    raise AssertionError(f"{kind.__name__} expected, and nothing was raised")
