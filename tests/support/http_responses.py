"""What comes over a connection, as answers: for tests that send bytes of their own."""

import re

from tests.support.http_client import Response

_HEAD = re.compile(
    rb"HTTP/1\.[01] (?P<status>[0-9]{3}) [^\r\n]*\r\n(?P<fields>(?:[^\r\n]+\r\n)*)\r\n"
)
_WITHOUT_BODY = (204, 304)


def answers(said: bytes, *methods: str) -> list[Response]:
    """The answers that `said` consists of, to requests with these methods, GET if there are more;
    AssertionError if it is anything but whole answers.
    """
    found: list[Response] = []
    while said:
        head = _HEAD.match(said)
        assert head, said[:200]
        headers: dict[str, str] = {}
        for line in head["fields"].decode("latin-1").splitlines():
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value.strip()
        status = int(head["status"])
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        length = (
            0 if method == "HEAD" or status in _WITHOUT_BODY else int(headers["content-length"])
        )
        body = said[head.end() : head.end() + length]
        assert len(body) == length, "the connection was closed in the middle"
        found.append(Response(status, headers, body))
        said = said[head.end() + length :]
    return found


def answer(said: bytes, method: str = "GET") -> Response:
    """The one answer that `said` is."""
    [only] = answers(said, method)
    return only
