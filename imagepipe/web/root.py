"""The paths of the image server: its own pages, and all others are images."""

from collections.abc import Mapping
from typing import Any, cast

from twisted.web.resource import IResource, Resource


class Root(Resource):
    """`pages` by their paths' only component; everything else goes to `images`, which looks at the path itself."""

    def __init__(self, pages: Mapping[bytes, IResource], images: Resource) -> None:
        super().__init__()
        self._images = images
        for name, page in pages.items():
            self.putChild(name, cast(Any, page))  # zope.interface has no types

    def getChild(self, path: bytes, request: Any) -> Resource:  # noqa: N802, ARG002 - Twisted's name
        return self._images

    def render(self, request: Any) -> Any:
        """The path is empty, or not one at all."""
        return self._images.render(request)
