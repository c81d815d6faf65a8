"""Messages between nodes, and what is made of bytes that no node would send."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core import paths
from imagepipe.core.rendering import formats
from imagepipe.core.replication.admission import SIDE_MAX
from imagepipe.core.replication.messages import (
    CONTENT_BYTES_MAX,
    GET_BYTES_MAX,
    PROTOCOL,
    RANGES_MAX,
    REPLY_BYTES_MAX,
    REQUEST_BYTES_MAX,
    ROWS_MAX,
    Batch,
    Changes,
    Foreign,
    Get,
    Head,
    Hello,
    Malformed,
    Pieces,
    Range,
    Refused,
    Reply,
    Request,
    WireRow,
    batch,
    decode_head,
    decode_reply,
    decode_request,
    encode,
    sealed,
)
from imagepipe.core.rows.entries import Content, Entry, ImageFacts, Row
from imagepipe.core.rows.stamp import STAMP_MAX, Version

DECODERS: list[Callable[[str, bytes], Request | Reply]] = [
    decode_request,
    decode_reply,
    decode_head,
]
NODE, EPOCH, DIGEST = "a" * 32, "e" * 32, "d" * 64
NUMBER_MAX = (1 << 63) - 1
PUT_ROW = ["a/b.jpg", 9, NODE, 8, "b", DIGEST, 100, 5, "jpeg", 640, 480]
DELETE_ROW = ["a/c.jpg", 9, NODE, None, None, None, None, 6, None, 0, 0]

# What fields may hold, and examples of what they may not.
NUMBER = [
    -1,
    NUMBER_MAX + 1,
    (1 << 64) - 1,
    True,
    1.0,
    float("nan"),
    "1",
    b"1",
    None,
    [],
    {},
    msgspec.msgpack.Ext(1, b"1"),
]
ID = ["", "A", "g", "0" * 33, "a\n", "\nb", "\u0660", 1, b"a", None, ["a"], {"a": 1}]
EPOCH_OR_NONE = ["A", "0" * 33, "a\n", 1, b"a", None, []]
NAME = ["n" * 256, 1, b"n", None, [], {}]
HOSTILE: dict[str, tuple[list[object], dict[int, list[object]]]] = {
    "head": (["head", NODE, EPOCH, 5, "7777", 9], {1: ID, 2: ID, 3: NUMBER, 4: NAME, 5: NUMBER}),
    "hello": (["hello", 1, NODE], {1: NUMBER, 2: ID}),
    "changes": (
        ["changes", 1, NODE, EPOCH, 5, 4, 6],
        {1: NUMBER, 2: ID, 3: EPOCH_OR_NONE, 4: NUMBER, 5: NUMBER, 6: NUMBER},
    ),
    "get": (
        ["get", 1, [[DIGEST, 0, 1]]],
        {1: NUMBER, 2: [[], None, 1, {}, "r", [None], [[]], [[DIGEST, 0, 1]] * (RANGES_MAX + 1)]},
    ),
    "batch": (
        ["batch", 1, NODE, EPOCH, 4, 6, 6, [PUT_ROW, DELETE_ROW]],
        {
            1: NUMBER,
            2: ID,
            3: ID,
            4: NUMBER,
            5: NUMBER,
            6: NUMBER,
            7: [None, 1, {}, [None], [[]], [PUT_ROW] * (ROWS_MAX + 1)],
        },
    ),
    "pieces": (
        ["pieces", 1, [b"x", None]],
        {1: NUMBER, 2: [None, b"", {}, [1], ["x"], [[]], [None] * (RANGES_MAX + 1)]},
    ),
    "refused": (["refused", 1, "no"], {1: NUMBER, 2: NAME}),
}
HOSTILE_RANGE: dict[int, list[object]] = {
    0: [
        "",
        "d" * 63,
        "d" * 65,
        DIGEST + "\n",
        "D" * 64,
        "../" + "d" * 61,
        1,
        None,
        DIGEST.encode(),
    ],
    1: NUMBER,
    2: [0, GET_BYTES_MAX + 1, *NUMBER],
}
OPTIONAL_NUMBER = [one for one in NUMBER if one is not None]
HOSTILE_ROW: dict[int, list[object]] = {
    0: ["a" * 1033, 1, b"a"],
    1: [STAMP_MAX + 1, *NUMBER],
    2: ID,
    3: [STAMP_MAX + 1, None, *OPTIONAL_NUMBER],
    4: [one for one in ID if one is not None] + [None],
    5: [*HOSTILE_RANGE[0]],
    6: [0, CONTENT_BYTES_MAX + 1, *NUMBER],
    7: [0, 4, 6, *NUMBER],
    8: ["f" * 17, 1, b"jpeg", []],
    9: NUMBER,
    10: NUMBER,
}


ILLEGAL_PATHS = [
    *(
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "./a",
        "..",
        "a/../b",
        ".hidden",
        "a\n",
        "a\0",
        "e\u0301",
        "a.php",
        "status",
        "a" * 256,
        "a/" * 512 + "a",
    ),
    *(
        "bad\uffff",
        "a/\ufffe.jpg",
        "e\u0301\uffff",
        ".escaped/a%EF%BF%BF",
        ".erased",
        ".erased/",
        ".erased/..",
        ".erased//a",
        ".erased/.erased/a",
    ),
]
"""What no image may be stored at."""


def body(fields: object, cluster: object = "c") -> bytes:
    """A message of these fields, whatever they are."""
    return sealed(bytes([PROTOCOL]) + msgspec.msgpack.encode((cluster, fields)))


def raw(data: bytes) -> bytes:
    """A message of the cluster "c" whose body is `data`."""
    return sealed(bytes([PROTOCOL]) + b"\x92\xa1c" + data)


def changed(fields: list[object], at: int, value: object) -> list[object]:
    """The same with one of them replaced."""
    return [*fields[:at], value, *fields[at + 1 :]]


def hostile_messages() -> Iterator[Any]:
    """Every field of every message with everything that it may not hold."""
    for name, (fields, hostile) in HOSTILE.items():
        yield from (
            pytest.param(changed(fields, at, value), id=f"{name}-{at}")
            for at, values in hostile.items()
            for value in values
        )
        needed = 6 if name == "changes" else len(fields)  # its last one may be left out
        yield from (pytest.param(fields[:length], id=f"{name}-short") for length in range(needed))
    for at, values in HOSTILE_RANGE.items():
        yield from (
            pytest.param(["get", 1, [changed([DIGEST, 0, 1], at, value)]], id=f"range-{at}")
            for value in values
        )
    for at, values in HOSTILE_ROW.items():
        yield from (
            pytest.param(
                ["batch", 1, NODE, EPOCH, 4, 5, 5, [changed(PUT_ROW, at, value)]], id=f"row-{at}"
            )
            for value in values
        )


def refused(data: bytes) -> None:
    """No decoder accepts these bytes; and none says so at length, or with what a log could not
    bear.
    """
    for decode in DECODERS:
        with pytest.raises(Malformed) as caught:
            decode("c", data)
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()


def survived(data: bytes) -> None:
    """Every decoder accepts these bytes or says that it does not."""
    for decode in DECODERS:
        with suppress(Malformed, Foreign):
            decode("c", data)


IDS = st.text("0123456789abcdef", min_size=1, max_size=32)
NUMBERS = st.integers(0, NUMBER_MAX)
STAMPS = st.integers(0, STAMP_MAX)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
VERSIONS = st.builds(Version, STAMPS, IDS)
CONTENTS = st.builds(Content, DIGESTS, st.integers(1, CONTENT_BYTES_MAX))
SIDES = st.integers(1, SIDE_MAX)
FACTS = st.builds(
    ImageFacts, st.sampled_from([format.name for format in formats.FORMATS]), SIDES, SIDES
)
REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(Hello, NUMBERS, IDS),
    st.builds(Changes, NUMBERS, IDS, st.one_of(st.just(""), IDS), NUMBERS, NUMBERS, NUMBERS),
    st.builds(
        Get,
        NUMBERS,
        st.lists(
            st.builds(Range, DIGESTS, NUMBERS, st.integers(1, GET_BYTES_MAX // 4)),
            min_size=1,
            max_size=4,
        ).map(tuple),
    ),
)


@st.composite
def row_lists(draw: st.DrawFn) -> list[Row]:
    """Rows in order, of distinct paths."""
    seqs = sorted(draw(st.sets(st.integers(1, NUMBER_MAX), max_size=5)))
    return [
        Row(
            Entry(
                f"a/\u00e9 {number}.jpg",
                draw(VERSIONS),
                draw(st.none() | VERSIONS),
                draw(st.none() | CONTENTS),
                seq,
            ),
            draw(st.none() | FACTS),
        )
        for number, seq in enumerate(seqs)
    ]


HEADS = st.builds(Head, IDS, IDS, NUMBERS, st.text(max_size=255), NUMBERS)
BATCHES = st.builds(batch, NUMBERS, IDS, IDS, st.just(0), NUMBERS, row_lists())
REPLIES: st.SearchStrategy[Reply] = st.one_of(
    HEADS,
    BATCHES,
    st.builds(
        Pieces, NUMBERS, st.lists(st.none() | st.binary(max_size=100), max_size=5).map(tuple)
    ),
    st.builds(Refused, NUMBERS, st.text(max_size=255)),
)
ANYTHING: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=20,
)


class RoundTripTests:
    """What one node encodes another reads."""

    @given(REQUESTS)
    def test_a_request_is_read_as_it_was_written(self, message: Request) -> None:
        assert decode_request("c", encode("c", message)) == message

    @given(REPLIES)
    def test_a_reply_is_read_as_it_was_written(self, message: Reply) -> None:
        assert decode_reply("c", encode("c", message)) == message

    @given(HEADS)
    def test_a_doorbell_is_read_as_it_was_written(self, message: Head) -> None:
        assert decode_head("c", encode("c", message)) == message

    @pytest.mark.parametrize("forged", [("svg+xml", 1, 1), ("jpeg", NUMBER_MAX, 1), ("jpeg", 1, 0)])
    def test_facts_that_no_image_has_count_as_missing_and_hold_up_no_other_row(
        self, forged: tuple[str, int, int]
    ) -> None:
        rows = [
            Row(Entry(name, Version(1, NODE), None, Content(DIGEST, 1), at), ImageFacts(*forged))
            for at, name in enumerate("ab", 1)
        ]
        decoded = decode_reply("c", encode("c", batch(1, NODE, EPOCH, 0, 2, rows)))
        assert isinstance(decoded, Batch)
        assert [(row.entry, row.facts) for row in decoded.rows] == [
            (row.entry, None) for row in rows
        ]

    @given(row_lists())
    def test_rows_keep_their_versions_contents_and_facts(self, rows: list[Row]) -> None:
        read = decode_reply("c", encode("c", batch(1, NODE, EPOCH, 0, 0, rows)))
        assert isinstance(read, Batch)
        assert list(read.rows) == rows

    @given(st.text(max_size=255), HEADS)
    def test_a_cluster_may_have_any_name(self, cluster: str, message: Head) -> None:
        assert decode_head(cluster, encode(cluster, message)) == message

    def test_a_release_without_names_is_understood_and_a_later_one_too(self) -> None:
        for fields, name in (
            [["hello", 1, "a"], ""],
            [["hello", 1, "a", "n"], "n"],
            [["hello", 1, "a", "n", {}], "n"],
        ):
            assert decode_request("c", body(fields)) == Hello(1, "a", str(name))

    def test_the_wire_is_what_the_module_shows(self) -> None:
        data = b"\x01" + b"\x92\xa1c" + b"\x94\xa5hello\x01\xa1a\xa1n"
        assert (
            encode("c", Hello(1, "a", "n")) == sealed(data) == data + crc32(data).to_bytes(4, "big")
        )


class BatchTests:
    """How far a batch goes."""

    def rows(self, count: int) -> list[Row]:
        """Deletes, numbered by twos from 2 on."""
        return [
            Row(Entry(f"p{number}", Version(1, "a"), None, None, 2 * number), None)
            for number in range(1, count + 1)
        ]

    def test_a_batch_that_is_not_full_goes_to_the_end(self) -> None:
        message = batch(1, NODE, EPOCH, 0, 9, self.rows(2))
        assert (message.after, message.upto, message.end) == (0, 9, 9)

    def test_a_full_one_goes_to_its_last_row(self) -> None:
        message = batch(1, NODE, EPOCH, 0, 1000, self.rows(ROWS_MAX))
        assert (message.upto, message.end) == (2 * ROWS_MAX, 1000)

    def test_rows_that_were_committed_while_it_was_read_count(self) -> None:
        message = batch(1, NODE, EPOCH, 0, 2, self.rows(2))
        assert (message.upto, message.end) == (4, 4)

    def test_one_without_rows_says_that_there_is_nothing_new(self) -> None:
        message = batch(1, NODE, EPOCH, 7, 7, [])
        assert (message.after, message.upto, message.end, message.rows) == (7, 7, 7, ())
        assert decode_reply("c", encode("c", message)) == message

    def test_one_that_was_read_before_anything_else_was_committed_ends_where_it_began(self) -> None:
        message = batch(1, NODE, EPOCH, 7, 5, [])
        assert (message.after, message.upto, message.end) == (7, 7, 7)


class SizeTests:
    """The largest messages that a node writes fit in what its peers accept."""

    def test_the_largest_batch(self) -> None:
        version = Version(STAMP_MAX, NODE)
        facts = ImageFacts("f" * 16, NUMBER_MAX, NUMBER_MAX)
        rows = [
            Row(
                Entry(
                    "/".join([f"{number:0255}", "b" * 255, "c" * 255, "d" * 254, "e"]),
                    version,
                    version,
                    Content(DIGEST, CONTENT_BYTES_MAX),
                    seq,
                ),
                facts,
            )
            for number, seq in enumerate(range(NUMBER_MAX - ROWS_MAX, NUMBER_MAX))
        ]
        assert {len(row.entry.path) for row in rows} == {paths.PATH_BYTES_MAX}
        message = batch(NUMBER_MAX, NODE, EPOCH, NUMBER_MAX - ROWS_MAX - 1, NUMBER_MAX, rows)
        data = encode("c" * 255, message)
        assert len(data) <= REPLY_BYTES_MAX
        assert decode_reply("c" * 255, data) == message

    @pytest.mark.parametrize("count", [1, RANGES_MAX])
    def test_the_largest_pieces(self, count: int) -> None:
        message = Pieces(NUMBER_MAX, (b"x" * (GET_BYTES_MAX // count),) * count)
        data = encode("c" * 255, message)
        assert len(data) <= REPLY_BYTES_MAX
        assert decode_reply("c" * 255, data) == message

    def test_the_largest_get(self) -> None:
        message = Get(
            NUMBER_MAX, (Range(DIGEST, NUMBER_MAX, GET_BYTES_MAX // RANGES_MAX),) * RANGES_MAX
        )
        data = encode("c" * 255, message)
        assert len(data) <= REQUEST_BYTES_MAX
        assert decode_request("c" * 255, data) == message

    def test_the_largest_changes(self) -> None:
        message = Changes(NUMBER_MAX, NODE, EPOCH, NUMBER_MAX, NUMBER_MAX, NUMBER_MAX)
        data = encode("c" * 255, message)
        assert len(data) <= REQUEST_BYTES_MAX
        assert decode_request("c" * 255, data) == message


class RefusedRowTests:
    """A row at a path that no image may have is left out, and holds up nothing behind it."""

    def read(self, *rows: list[object]) -> Batch:
        """The rows as a peer sends them, numbered from 5 on."""
        numbered = [changed(row, 7, seq) for seq, row in enumerate(rows, 5)]
        message = decode_reply("c", body(["batch", 1, NODE, EPOCH, 4, 9, 9, numbered]))
        assert isinstance(message, Batch)
        return message

    @pytest.mark.parametrize("path", ILLEGAL_PATHS)
    def test_the_others_are_taken_and_it_is_named(self, path: str) -> None:
        bad = changed(DELETE_ROW if path.startswith(".erased") else PUT_ROW, 0, path)
        message = self.read(PUT_ROW, bad, DELETE_ROW)
        assert [row.entry.path for row in message.rows] == ["a/b.jpg", "a/c.jpg"]
        [why] = message.refused
        assert why.startswith(ascii(path)[:40])
        assert why.isascii()
        assert why.isprintable()
        assert len(why) < 500
        assert (message.upto, message.end) == (9, 9)

    def test_a_batch_of_nothing_else_still_moves_on(self) -> None:
        message = self.read(*(changed(PUT_ROW, 0, f"bad\uffff{number}") for number in range(3)))
        assert (message.rows, len(message.refused), message.upto) == ((), 3, 9)

    @pytest.mark.parametrize("path", ["bad\uffff/original", ".erased/bad\ufffe/original"])
    def test_what_an_earlier_release_stored_can_be_deleted_everywhere(self, path: str) -> None:
        message = self.read(changed(DELETE_ROW, 0, path))
        assert [row.entry.path for row in message.rows] == [path]
        assert message.refused == ()


class ForeignTests:
    """Messages of other clusters and other versions are told from malformed ones."""

    def test_another_clusters_message_names_it(self) -> None:
        with pytest.raises(Foreign, match=r"^it belongs to the cluster 'other\\n'$") as caught:
            decode_request("c", encode("other\n", Hello(1, "a")))
        assert caught.value.cluster == "other\n"

    def test_another_clusters_body_is_not_even_read(self) -> None:
        with pytest.raises(Foreign):
            decode_request("c", body(["of a later version"], "other"))

    def test_another_version_of_the_protocol_is_malformed(self) -> None:
        with pytest.raises(Malformed, match=r"^it uses another version of the protocol$"):
            decode_request("c", b"\x02" + encode("c", Hello(1, "a"))[1:])

    def test_nothing_is_malformed(self) -> None:
        with pytest.raises(Malformed, match=r"^it is empty$"):
            decode_request("c", b"")


class HostileFieldTests:
    """A message is accepted only if every field of it is in bounds."""

    @pytest.mark.parametrize(
        ("name", "decode"), [(name, decode_request) for name in ("hello", "changes", "get")]
    )
    def test_the_requests_that_are_spoilt_below_are_good(
        self, name: str, decode: Callable[[str, bytes], Request]
    ) -> None:
        decode("c", body(HOSTILE[name][0]))

    @pytest.mark.parametrize("name", ["head", "batch", "pieces", "refused"])
    def test_and_so_are_the_replies(self, name: str) -> None:
        decode_reply("c", body(HOSTILE[name][0]))

    @pytest.mark.parametrize("fields", list(hostile_messages()))
    def test_a_field_out_of_bounds_is_malformed(self, fields: object) -> None:
        refused(body(fields))

    @pytest.mark.parametrize(
        ("rows", "numbers", "why"),
        [
            ([PUT_ROW, changed(PUT_ROW, 7, 6)], (4, 6, 6), "it has two rows for one path"),
            ([DELETE_ROW, PUT_ROW], (4, 6, 6), "its rows are not in order"),
            ([PUT_ROW, changed(DELETE_ROW, 7, 5)], (4, 6, 6), "its rows are not in order"),
            ([PUT_ROW], (5, 6, 6), "its rows are not in order"),
            ([PUT_ROW], (4, 4, 6), "its rows are not in order"),
            ([PUT_ROW], (4, 6, 5), "its numbers are not in order"),
            ([], (4, 3, 6), "its numbers are not in order"),
            ([], (4, 5, 6), "it has no rows but announces more"),
            ([changed(PUT_ROW, 5, None)], (4, 6, 6), "the row of 'a/b.jpg' is incomplete"),
            ([changed(DELETE_ROW, 6, 1)], (4, 6, 6), "the row of 'a/c.jpg' is incomplete"),
            ([changed(PUT_ROW, 3, None)], (4, 6, 6), "the row of 'a/b.jpg' is incomplete"),
            ([changed(DELETE_ROW, 4, "b")], (4, 6, 6), "the row of 'a/c.jpg' is incomplete"),
            (
                [changed(PUT_ROW, 0, ".erased/a.jpg")],
                (4, 6, 6),
                "the row of '.erased/a.jpg' is not a delete",
            ),
        ],
    )
    def test_a_batch_says_what_is_wrong_with_it(
        self, rows: list[object], numbers: tuple[int, int, int], why: str
    ) -> None:
        with pytest.raises(Malformed, match=f"^{why}$"):
            decode_reply("c", body(["batch", 1, NODE, EPOCH, *numbers, rows]))

    def test_the_row_of_an_erasure_may_be_as_long_as_its_path_makes_it(self) -> None:
        longest = "/".join(["d" * 255] * 4)
        row = changed(DELETE_ROW, 0, f".erased/{longest}")
        batch: Any = decode_reply("c", body(["batch", 1, NODE, EPOCH, 4, 6, 6, [row]]))
        [told] = batch.rows
        assert told.entry.path == f".erased/{longest}"

    def test_a_get_may_not_ask_for_more_than_it_is_allowed_in_all_its_ranges_together(self) -> None:
        half = Range(DIGEST, 0, GET_BYTES_MAX // 2)
        decode_request("c", encode("c", Get(1, (half, half))))
        with pytest.raises(Malformed, match=f"^asks for more than {GET_BYTES_MAX} bytes$"):
            decode_request("c", encode("c", Get(1, (half, half, Range(DIGEST, 0, 1)))))

    def test_a_request_is_not_a_reply_and_vice_versa(self) -> None:
        for name in ("hello", "changes", "get"):
            with pytest.raises(Malformed):
                decode_reply("c", body(HOSTILE[name][0]))
        for name in ("head", "batch", "pieces", "refused"):
            with pytest.raises(Malformed):
                decode_request("c", body(HOSTILE[name][0]))

    def test_only_a_head_is_published(self) -> None:
        for name in HOSTILE.keys() - {"head"}:
            with pytest.raises(Malformed):
                decode_head("c", body(HOSTILE[name][0]))
        with pytest.raises(Malformed):
            decode_head("c", body(changed(HOSTILE["head"][0], 0, "batch")))

    def test_half_a_row_is_not_made_a_whole_one(self) -> None:
        row = WireRow("a", 1, NODE, 1, None, DIGEST, None, 1, None, 5, 5)
        assert Batch(1, NODE, EPOCH, 0, 1, 1, (row,)).rows == (
            Row(Entry("a", Version(1, NODE), None, None, 1), None),
        )


class HostileBytesTests:
    """Whatever the bytes are, the answer is a message, Malformed or Foreign: soon, and in little
    memory.
    """

    @given(st.binary(max_size=2000))
    def test_random_bytes(self, data: bytes) -> None:
        survived(data)
        survived(sealed(bytes([PROTOCOL]) + data))
        survived(raw(data))

    @given(ANYTHING, ANYTHING)
    def test_anything_that_can_be_encoded(self, cluster: object, fields: object) -> None:
        survived(body(fields))
        survived(body(fields, cluster))

    @given(st.sampled_from(sorted(HOSTILE)), st.data())
    def test_anything_in_any_field(self, name: str, data: st.DataObject) -> None:
        fields, _ = HOSTILE[name]
        survived(
            body(changed(fields, data.draw(st.integers(0, len(fields) - 1)), data.draw(ANYTHING)))
        )

    @given(ANYTHING, st.integers(0, len(PUT_ROW) - 1))
    def test_anything_in_any_field_of_a_row(self, value: object, at: int) -> None:
        survived(body(["batch", 1, NODE, EPOCH, 4, 5, 5, [changed(PUT_ROW, at, value)]]))

    @given(
        REQUESTS | REPLIES,
        st.lists(
            st.tuples(st.integers(0, 1 << 20), st.binary(max_size=4), st.integers(0, 4)),
            min_size=1,
            max_size=4,
        ),
    )
    def test_messages_with_bytes_replaced_inserted_and_removed(
        self, message: Request | Reply, edits: list[tuple[int, bytes, int]]
    ) -> None:
        data = encode("c", message)[:-4]
        for position, inserted, removed in edits:
            at = position % (len(data) + 1)
            data = data[:at] + inserted + data[at + removed :]
        survived(data)
        survived(sealed(data))

    @given(REQUESTS | REPLIES, st.integers(0, 1 << 20))
    def test_a_wrong_bit_makes_a_message_malformed(
        self, message: Request | Reply, position: int
    ) -> None:
        data = bytearray(encode("c", message))
        data[position // 8 % len(data)] ^= 1 << position % 8
        refused(bytes(data))

    @pytest.mark.parametrize("name", HOSTILE)
    def test_every_truncation_is_malformed(self, name: str) -> None:
        data = body(HOSTILE[name][0])[:-4]
        for length in range(len(data)):
            refused(data[:length])
            refused(sealed(data[:length]))

    @pytest.mark.parametrize("name", HOSTILE)
    def test_bytes_after_the_message_are_malformed(self, name: str) -> None:
        refused(sealed(body(HOSTILE[name][0])[:-4] + b"\0"))

    @pytest.mark.parametrize(
        "opening", [b"\x91", b"\x81", b"\x92\xc0", b"\x81\xa1k", b"\xdd\0\0\0\1"]
    )
    def test_deep_nesting_is_malformed(self, opening: bytes) -> None:
        nested = opening * (REPLY_BYTES_MAX // len(opening))
        refused(raw(nested))
        refused(raw(nested + b"\xc0"))
        refused(sealed(bytes([PROTOCOL]) + nested))
        refused(raw(b"\x93\xa7refused\x01" + nested))  # as a field
        refused(raw(b"\x94\xa7refused\x01\xa1n" + nested))  # as one more, which is passed over

    @pytest.mark.parametrize(
        "data",
        [
            b"\xdd\0\x10\0\0" + b"\x90" * REPLY_BYTES_MAX,
            b"\xdd\xff\xff\xff\xff",
            b"\x93\xa6pieces\x01\xdd\0\x10\0\0" + b"\x90" * REPLY_BYTES_MAX,
            b"\x93\xa6pieces\x01\xdd\xff\xff\xff\xff",
            b"\x93\xa6pieces\x01\x91\xc6\xff\xff\xff\xff",
            b"\x93\xa3get\x01\xdd\0\x10\0\0" + b"\x90" * REPLY_BYTES_MAX,
            b"\x98\xa5batch\x01\xa1a\xa1e\0\0\0\xdd\0\x10\0\0" + b"\x90" * REPLY_BYTES_MAX,
            b"\x93\xa7refused\x01\xdb\xff\xff\xff\xff",
            b"\x93\xa7refused\x01\xdb\0\x0f\0\0" + b"n" * 0xF0000,
            b"\x91\xdb\0\x0f\0\0" + b"n" * 0xF0000,
        ],
    )
    def test_a_mebibyte_of_nothing_and_lengths_that_are_not_there_take_little_memory(
        self, data: bytes
    ) -> None:
        tracemalloc.start()
        try:
            refused(raw(data))
            assert tracemalloc.get_traced_memory()[1] < 4 * REPLY_BYTES_MAX
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        "data",
        [
            raw(b"\x93\xa5hello\x01\xa3\xed\xa0\x80"),  # a surrogate
            raw(b"\x93\xa7refused\x01\xa3\xed\xa0\x80"),
            raw(b"\x93\xa3\xed\xa0\x80\x01\xa1a"),  # as the type
            raw(b"\x93\xa7refused\x01\xa1\xff"),  # no UTF-8
            raw(b"\x93\x91\xa5hello\x01\xa1a"),  # an array as the type
            raw(b"\x93\x80\x01\xa1a"),
            raw(b"\x83\xa5hello\x01\xa1a\x02\x90\x90"),  # a map, and a key that cannot be hashed
            raw(b"\x81\x90\x90"),
            raw(b"\xc1"),  # never used in msgpack
            # a surrogate as the cluster
            sealed(bytes([PROTOCOL]) + b"\x92\xa3\xed\xa0\x80\x93\xa5hello\x01\xa1a"),
            sealed(bytes([PROTOCOL]) + b"\x92\x91\xa1c\x93\xa5hello\x01\xa1a"),
            sealed(bytes([PROTOCOL]) + b"\x93\xa1c\x93\xa5hello\x01\xa1a\x01"),
            sealed(bytes([PROTOCOL]) + b"\x91\xa1c"),
            body(["hello\n\x1b[31m", 1, "a"]),
        ],
    )
    def test_strings_and_keys_that_are_none(self, data: bytes) -> None:
        refused(data)
