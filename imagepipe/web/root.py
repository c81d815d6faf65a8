"""The paths of a port: the page at `/`, the server's own pages, and everything else."""

from collections.abc import Mapping
from typing import Any, cast

from twisted.web.resource import IResource, Resource

from imagepipe.web.http.refusal import Admit, admit_all
from imagepipe.web.status_pages import StatusPage, refusing


class Root(Resource):
    """Serves `welcome` at `/` (GET and HEAD), `pages` by name if `admit` allows, and `others`."""

    def __init__(
        self,
        welcome: StatusPage,
        others: IResource,
        pages: Mapping[bytes, IResource] | None = None,
        admit: Admit = admit_all,
    ) -> None:
        super().__init__()
        self._welcome = welcome
        self._others = cast(Any, others)  # zope.interface has no types
        self._admit = admit
        for name, page in (pages or {}).items():
            self.putChild(name, cast(Any, page))

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        """Checked here because `path` is decoded: no other spelling of it reaches the page."""
        if path in self.children and (denied := self._admit(request)):
            return refusing(path.decode(), denied)
        return super().getChildWithDefault(path, request)

    def getChild(self, path: bytes, request: Any) -> Any:
        if request.path == b"/" and request.method in self._welcome.methods:
            return self._welcome
        return self._others

    def render(self, request: Any) -> Any:
        """A request without a path."""
        return self._others.render(request)
