"""What `GET /` answers: one sentence on what this port is, or a small page of it for a browser. It names neither a version nor anything stored."""

from html import escape

from imagepipe.web.request import BoundedRequest
from imagepipe.web.status import HTML, TEXT, Content, Page, wants_html

XML_RPC = "This is imagepipe, an image store. Its methods are called on this port by XML-RPC (POST); system.listMethods names them."
HTTP = "This is imagepipe, an image store. Images are served on this port: GET /PATH is a stored file, GET /PATH/w500.webp the same 500 pixels wide."

DOCUMENTATION = "Documentation: README.md and docs/ in its sources, and in share/doc/imagepipe where it is installed."

_DOCUMENT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>imagepipe</title>
<h1>imagepipe</h1>
<p>{what}
<p>{docs}
</html>
"""

_HEADERS = {"vary": "accept", "content-security-policy": "default-src 'none'; frame-ancestors 'none'", "referrer-policy": "no-referrer"}


def welcome(what: str) -> Page:
    """The page of a port; `what` is one of the sentences above."""
    text = f"{what} {DOCUMENTATION}\n".encode()
    document = _DOCUMENT.format(what=escape(what), docs=escape(DOCUMENTATION)).encode()

    def content(request: BoundedRequest) -> Content:
        return Content(HTML, document, headers=_HEADERS) if wants_html(request) else Content(TEXT, text, headers=_HEADERS)

    return Page("welcome", content)
