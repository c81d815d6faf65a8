"""How entries and rows lie in the catalogue's tables, column by column."""

from collections.abc import Sequence
from typing import Any

from imagepipe.core.replication.admission import plausible_facts
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.stamp import Version
from imagepipe.storage.catalogue.database import Value

ENTRY = "path, stamp, origin, replaced_stamp, replaced_origin, digest, size, seq"
FACTS = "format, width, height"


def entry_of(columns: Sequence[Any]) -> Entry:
    """The entry in the columns ENTRY."""
    path, stamp, origin, replaced_stamp, replaced_origin, digest, size, seq = columns
    replaced = None if replaced_stamp is None else Version(replaced_stamp, replaced_origin)
    return Entry(
        path,
        Version(stamp, origin),
        replaced,
        None if digest is None else Content(digest, size),
        seq,
    )


def row_of(columns: Sequence[Any]) -> Row:
    """The row in the columns ENTRY and FACTS. Earlier releases wrote down whatever a peer claimed:
    unbelievable facts count as missing.
    """
    *entry, format, width, height = columns
    return Row(entry_of(entry), plausible_facts(format, width, height))


def of_entry(entry: Entry) -> tuple[Value, ...]:
    """The columns ENTRY."""
    replaced, content = entry.replaced, entry.content
    return (
        entry.path,
        entry.version.stamp,
        entry.version.origin,
        replaced.stamp if replaced else None,
        replaced.origin if replaced else None,
        content.digest if content else None,
        content.size if content else None,
        entry.seq,
    )


def of_row(row: Row) -> tuple[Value, ...]:
    """The columns ENTRY and FACTS."""
    facts = row.facts
    return (
        *of_entry(row.entry),
        facts.format if facts else None,
        facts.width if facts else None,
        facts.height if facts else None,
    )
