"""What a process has used up to now: its processor time, and how often it was switched out."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessCosts:
    """Of one process with all its threads, without its children. switches: of the threads that
    still run, both kinds.
    """

    cpu_seconds: float
    switches: int

    def __sub__(self, earlier: "ProcessCosts") -> "ProcessCosts":
        return ProcessCosts(
            self.cpu_seconds - earlier.cpu_seconds, self.switches - earlier.switches
        )


def process_costs(process_id: int) -> ProcessCosts:
    """Since it was started. Raises OSError if it is gone."""
    process = Path(f"/proc/{process_id}")
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    switches = sum(
        int(line.split()[1])
        for task in (process / "task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if "ctxt_switches" in line
    )
    return ProcessCosts(ticks / _TICKS_PER_SECOND, switches)
