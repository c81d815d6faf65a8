"""What is logged of a request."""

from dataclasses import dataclass, field

from imagepipe.runtime.profiling import StageTimer


@dataclass(slots=True)
class RequestRecord:
    """What is logged of one request; filled in while it runs."""

    call: str = "-"
    path: str = "-"
    outputs: int = 0
    waited_seconds: float = 0.0
    ran_seconds: float = 0.0
    result: str = ""
    stages: StageTimer = field(default_factory=StageTimer)
