"""The page at `/`: says what the port is for, as text, or as HTML for browsers.

It reveals neither the version nor anything stored.
"""

from html import escape

from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.status_pages import HTML, TEXT, PageContent, StatusPage, wants_html

XML_RPC = (
    "This is imagepipe, an image store. This port takes XML-RPC calls (POST); system.listMethods"
    " lists the methods."
)
HTTP = (
    "This is imagepipe, an image store. This port serves images: GET /PATH for a stored file, GET"
    " /PATH/w500.webp for one 500 pixels wide."
)

DOCUMENTATION = (
    "Documentation: README.md and docs/ in the source tree, or in share/doc/imagepipe below the"
    " installation's prefix."
)

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

_HEADERS = {
    "vary": "accept",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


def welcome(what: str) -> StatusPage:
    """The page of a port; `what` is XML_RPC or HTTP."""
    text = f"{what} {DOCUMENTATION}\n".encode()
    document = _DOCUMENT.format(what=escape(what), docs=escape(DOCUMENTATION)).encode()

    def content(request: BoundedRequest) -> PageContent:
        media_type, body = (HTML, document) if wants_html(request) else (TEXT, text)
        return PageContent(media_type, body, headers=_HEADERS)

    return StatusPage("welcome", content)
