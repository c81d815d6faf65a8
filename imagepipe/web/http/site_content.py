"""What a site answers with."""

from dataclasses import dataclass

from twisted.web.resource import IResource

from imagepipe.web.http.fast_path import FastPath
from imagepipe.web.http.refusal import Admit, Authenticate, admit_all


@dataclass(slots=True, eq=False)
class SiteContent:
    """What a site answers with: `resource`, for requests whose body has at most `body_bytes_max`
    bytes and is admitted. `unanswered`: how many requests are waiting for an answer.

    fast_path: tried before `resource`, for plain GETs.
    guard: may refuse any other request once its headers have arrived.
    """

    resource: IResource
    body_bytes_max: int
    admit: Admit = admit_all
    authenticate: Authenticate | None = None
    fast_path: FastPath | None = None
    guard: Admit = admit_all
    unanswered: int = 0
