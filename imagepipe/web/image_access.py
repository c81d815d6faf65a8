"""Who may POST originals, and whether renditions need a signature."""

from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from imagepipe.errors import Forbidden
from imagepipe.web.http.auth import denial, log_in
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.refusal import Authenticate, Denial, needs_credentials
from imagepipe.web.http.request import BoundedRequest

_FOR_THIS_MACHINE = "is allowed from this machine only, unless [network] users is set"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what. secrets: renditions need a signature with one of them. users: None if only
    this machine may POST.
    """

    secrets: tuple[str, ...]
    users: Passwords | None

    @property
    def authenticate(self) -> Authenticate | None:
        """A site's Authenticate, for bodies."""
        return partial(denial, passwords=self.users) if self.users else None

    def admit(self, request: BoundedRequest) -> Denial | None:
        """A site's Admit: accepts bodies only from clients that may POST."""
        if self.users:
            return needs_credentials(request)
        return (
            None
            if _is_local(request)
            else Denial(Forbidden.http_status, f"POST: {_FOR_THIS_MACHINE}")
        )

    async def check_post(self, request: BoundedRequest) -> None:
        """Raise Unauthorized or Forbidden if the client may not POST."""
        if self.users is None:
            if not _is_local(request):
                raise Forbidden("POST", _FOR_THIS_MACHINE)
            return
        await log_in(request, self.users)


def _is_local(request: BoundedRequest) -> bool:
    """Whether the request comes from a program on this machine that acts for itself: not from a
    proxy, and not from a browser on behalf of a page.
    """
    if any(
        request.requestHeaders.hasHeader(name)
        for name in (b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip", b"origin")
    ):
        return False
    host = getattr(request.getClientAddress(), "host", None)
    if host is None:
        return False  # a unix socket: often there is a proxy at the other end
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
