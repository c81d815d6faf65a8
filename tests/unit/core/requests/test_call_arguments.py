"""The arguments of a call: what they ask for, and what is wrong with them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rendering.formats import GIF, JPEG, PNG, TIFF, WEBP
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.requests.call_arguments import (
    OUTPUTS_MAX,
    ListPage,
    StoreRequest,
    parse_moves,
    parse_names,
    parse_page,
    parse_path,
    parse_paths,
    parse_store,
)
from imagepipe.errors import BadRequest

JSON_LIKE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
        st.sampled_from(["", "0", "1", "png"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def store(
    path: object = "a/b.jpg",
    fmt: object = None,
    size: object = None,
    composite: object = 0,
    crop: object = 0,
) -> StoreRequest:
    """What a call asks for."""
    return parse_store(path, fmt, size, composite, crop, size_max=8192)


def refused(**arguments: Any) -> str:
    """Why a call is refused."""
    with pytest.raises(BadRequest) as caught:
        store(**arguments)
    return str(caught.value)


class StoreTests:
    """What store_image asks for."""

    def test_without_fmt_and_size_the_image_is_kept_as_it_is(self) -> None:
        request = store("/a//b.jpg")
        assert request == StoreRequest("a/b.jpg", ())
        assert request.paths == ("a/b.jpg",)

    @pytest.mark.parametrize("nothing", [None, "", 0, "0", 0.0, False, [], {}])
    def test_whatever_old_clients_send_for_nothing_means_not_given(self, nothing: object) -> None:
        assert store(fmt=nothing, size=nothing, composite=nothing, crop=nothing) == StoreRequest(
            "a/b.jpg", ()
        )

    def test_one_size_is_one_output_at_the_path(self) -> None:
        request = store(size=[500, 400])
        assert request.outputs == (OutputRequest("a/b.jpg", Size(500, 400), JPEG, Method.RESIZE),)

    def test_the_example_of_the_first_imagepipe(self) -> None:
        request = store(
            "x/y/z/image.jpg", size={"": [500, 500], "_medium": [250, 250], "_small": [50, 50]}
        )
        assert request.paths == (
            "x/y/z/image.jpg",
            "x/y/z/image_medium.jpg",
            "x/y/z/image_small.jpg",
        )
        assert [output.box for output in request.outputs] == [
            Size(500, 500),
            Size(250, 250),
            Size(50, 50),
        ]

    def test_a_format_alone_renders_at_the_sources_size(self) -> None:
        assert store(fmt="png").outputs == (OutputRequest("a/b.png", None, PNG),)

    @pytest.mark.parametrize(
        ("fmt", "path", "format"),
        [("PNG", "a/b.png", PNG), ("jpeg", "a/b.jpeg", JPEG), ("tif", "a/b.tif", TIFF)],
    )
    def test_a_format_is_the_extension_in_lower_case(
        self, fmt: str, path: str, format: object
    ) -> None:
        [output] = store(fmt=fmt).outputs
        assert (output.path, output.format) == (path, format)

    @pytest.mark.parametrize(
        ("path", "format"),
        [("a.gif", GIF), ("a.JPG", JPEG), ("a", None), ("a.unknown", None), ("a.v2", None)],
    )
    def test_without_a_format_the_extension_says_it_or_the_source_keeps_its_own(
        self, path: str, format: object
    ) -> None:
        [output] = store(path, size=[5, 5]).outputs
        assert output.format is format

    def test_values_go_by_suffix_and_what_is_missing_means_the_default(self) -> None:
        size = {"": [9, 9], "_a": ["10", "020"], "_b": (11, 11)}
        request = store(size=size, fmt={"_a": "png"}, composite={"_a": 1}, crop={"_b": "1"})
        assert request.outputs == (
            OutputRequest("a/b.jpg", Size(9, 9), JPEG, Method.RESIZE),
            OutputRequest("a/b_a.png", Size(10, 20), PNG, Method.COMPOSITE),
            OutputRequest("a/b_b.jpg", Size(11, 11), JPEG, Method.CROP),
        )

    def test_sides_are_whole_numbers_of_any_type(self) -> None:
        assert [
            output.box for output in store(size={"a": [60.0, "60.0"], "b": ["60", 60]}).outputs
        ] == [Size(60, 60)] * 2

    @pytest.mark.parametrize("yes", [1, True, 2, "1", "yes", 1.0, [1]])
    def test_any_true_value_will_do_for_a_flag(self, yes: object) -> None:
        assert store(size=[5, 5], crop=yes).outputs[0].method is Method.CROP
        assert store(size={"": [5, 5]}, composite={"": yes}).outputs[0].method is Method.COMPOSITE

    def test_texts_may_be_base64_values(self) -> None:
        assert store("a/\u20ac.jpg".encode(), b"png").paths == ("a/\u20ac.png",)

    def test_one_value_goes_for_all(self) -> None:
        request = store(size={"": [9, 9], "_a": [8, 8]}, fmt="webp", crop=True)
        assert [(output.format, output.method) for output in request.outputs] == [
            (WEBP, Method.CROP)
        ] * 2

    def test_a_format_by_suffix_needs_no_size(self) -> None:
        assert store(fmt={"": "png"}).paths == ("a/b.png",)
        assert store(fmt={}) == StoreRequest("a/b.jpg", ())

    @given(
        st.one_of(st.just("a.jpg"), JSON_LIKE),
        JSON_LIKE,
        st.one_of(st.just([5, 5]), JSON_LIKE),
        JSON_LIKE,
        JSON_LIKE,
    )
    def test_whatever_comes_is_understood_or_refused_by_name(
        self, path: object, fmt: object, size: object, composite: object, crop: object
    ) -> None:
        try:
            request = store(path, fmt, size, composite, crop)
        except BadRequest as refusal:
            # either outcome is fine, and has its promise
            assert refusal.argument in ("path", "fmt", "size", "composite", "crop")
            return
        assert len(set(request.paths)) == len(request.paths) >= 1


class RefusedStoreTests:
    """What is wrong is said by the argument's name."""

    @pytest.mark.parametrize("path", [None, 5, True, 1.5, [], {}])
    def test_a_path_is_a_string(self, path: object) -> None:
        assert refused(path=path).startswith("path: is not a string but ")

    @pytest.mark.parametrize(
        ("size", "why"),
        [
            ([500], "is not [width, height]"),
            ([1, 2, 3], "is not [width, height]"),
            ("500x500", "is not [width, height]"),
            (500, "is not [width, height]"),
            ({"_s": 5}, "is not [width, height] (suffix '_s')"),
            ([0, 1], "a side is not within 1 to 8192 pixels (max_size)"),
            ([-1, 1], "a side is not within 1 to 8192 pixels (max_size)"),
            ([1, 8193], "a side is not within 1 to 8192 pixels (max_size)"),
            ({"_s": [1, "8193"]}, "a side is not within 1 to 8192 pixels (max_size) (suffix '_s')"),
            ([1.5, 1], "a side is not a whole number"),
            ([True, 1], "a side is not a whole number"),
            ([None, 1], "a side is not a whole number"),
            (["", 1], "a side is not a whole number"),
            (["5.5", 1], "a side is not a whole number"),
            (["+5", 1], "a side is not a whole number"),
            (["5e2", 1], "a side is not a whole number"),
            (["\u0665", 1], "a side is not a whole number"),
            (["9" * 5000, 1], "a side is not a whole number"),
            ([[1], 1], "a side is not a whole number"),
        ],
    )
    def test_sizes(self, size: object, why: str) -> None:
        assert refused(size=size) == f"size: {why}"

    def test_the_bounds_themselves_are_fine(self) -> None:
        [output] = store(size=[1, 8192]).outputs
        assert output.box == Size(1, 8192)

    @pytest.mark.parametrize("path", ["a.bmp", "a.HEIC", "a.psd"])
    def test_an_extension_that_is_not_written_needs_a_format(self, path: str) -> None:
        assert refused(path=path, size=[10, 10]).startswith("fmt: ")
        assert store(path).outputs == ()
        assert store(path, "png", [10, 10]).paths == ("a.png",)

    @pytest.mark.parametrize(
        "fmt", ["svg", "mvg", "bmp", "heic", ".png", "png:", "../png", " png", "p" * 1000]
    )
    def test_formats_are_from_the_list(self, fmt: str) -> None:
        assert " is not one of jpg, jpeg, jpe, jfif, png, gif, webp, avif, tif, tiff" in refused(
            fmt=fmt
        )

    @pytest.mark.parametrize("fmt", [5, True, ["png"], {"": 5}])
    def test_a_format_is_a_string(self, fmt: object) -> None:
        assert refused(fmt=fmt).startswith("fmt: is not a string but ")

    @pytest.mark.parametrize("argument", ["composite", "crop"])
    def test_a_flag_that_says_no_in_words_is_refused(self, argument: str) -> None:
        assert (
            refused(**{argument: "false"}, size=[5, 5]) == f"{argument}: 'false' is neither 0 nor 1"
        )
        assert (
            refused(**{argument: {"": "no"}}, size=[5, 5]) == f"{argument}: 'no' is neither 0 nor 1"
        )

    @pytest.mark.parametrize("argument", ["composite", "crop"])
    def test_flags_need_a_size(self, argument: str) -> None:
        assert refused(**{argument: 1}) == f"{argument}: needs a size"
        assert refused(**{argument: {"": 1}}, fmt="png") == f"{argument}: needs a size"
        assert store(**{argument: 0}).outputs == ()

    def test_composite_and_crop_do_not_go_together(self) -> None:
        assert (
            refused(size=[5, 5], composite=1, crop=1) == "composite: cannot go together with crop"
        )
        assert (
            refused(size={"_a": [5, 5], "_b": [5, 5]}, composite=1, crop={"_b": 1})
            == "composite: cannot go together with crop (suffix '_b')"
        )
        assert (
            len(
                store(
                    size={"_a": [5, 5], "_b": [5, 5]}, composite={"_a": 1}, crop={"_b": 1}
                ).outputs
            )
            == 2
        )

    @pytest.mark.parametrize("argument", ["fmt", "composite", "crop"])
    def test_a_suffix_that_size_lacks(self, argument: str) -> None:
        assert (
            refused(**{argument: {"_x": ""}}, size={"_s": [5, 5]})
            == f"{argument}: has the suffix '_x', which size lacks"
        )
        assert (
            refused(**{argument: {"_x": ""}}, size=[5, 5])
            == f"{argument}: has the suffix '_x', which size lacks"
        )
        assert (
            refused(**{argument: {"_x": ""}})
            == f"{argument}: has the suffix '_x', which size lacks"
        )

    @pytest.mark.parametrize(
        ("suffix", "why"),
        [
            ("/x", "slash"),
            ("../x", "slash"),
            ("\x07", "control character"),
            (".php", "could run"),
            ("s" * 255, "255"),
        ],
    )
    def test_suffixes(self, suffix: str, why: str) -> None:
        found = refused(size={suffix: [5, 5]})
        assert found.startswith("size: ")
        assert why in found

    def test_two_outputs_with_one_path(self) -> None:
        # Two suffixes that Unicode's NFC makes one.
        assert (
            refused(size={"\xe9": [5, 5], "e\u0301": [6, 6]})
            == "size: two outputs would have the path 'a/b\\xe9.jpg'"
        )

    def test_a_suffix_that_melts_into_the_name_is_a_path_of_its_own(self) -> None:
        assert store("a/e.jpg", size={"\u0301": [5, 5], "": [6, 6]}).paths == (
            "a/\xe9.jpg",
            "a/e.jpg",
        )

    def test_the_number_of_outputs_is_bounded(self) -> None:
        size = {f"_{number}": [5, 5] for number in range(OUTPUTS_MAX)}
        assert len(store(size=size).outputs) == OUTPUTS_MAX
        assert (
            refused(size={**size, "": [5, 5]})
            == "size: names 257 outputs; at most 256 go into one call"
        )

    def test_the_path_of_an_output_must_be_legal_too(self) -> None:
        assert refused(path="a/info", size={".json": [5, 5]}).startswith("size: is reserved")


class PathsTests:
    """One path, or a list of them."""

    def test_a_path_is_cleaned(self) -> None:
        assert parse_path("/a/./b") == "a/b"
        assert parse_paths("/a") == ("a",)
        assert parse_paths(["/a", "b//c"]) == ("a", "b/c")
        assert parse_paths(("a",)) == ("a",)

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ([5], "is not a string but a number"),
            (None, "is not a string but nil"),
            ([[]], "but a list"),
            ("a" * 16_385, "longer than 16384"),
        ],
    )
    def test_an_invalid_path_is_refused(self, value: object, why: str) -> None:
        with pytest.raises(BadRequest, match=f"^path: .*{why}"):
            parse_paths(value)

    def test_what_an_earlier_release_stored_can_be_named_but_not_written(self) -> None:
        form = ".escaped/bad%EF%BF%BF"
        assert parse_paths([form, "a"]) == ("bad\uffff", "a")
        assert parse_moves(form, "good") == (("bad\uffff", "good"),)
        assert parse_page("", form, 5) == ListPage("", "bad\uffff", 5)
        for write in (
            lambda: parse_path(form),
            lambda: parse_moves("good", form),
            lambda: parse_store(form, None, None, 0, 0, 100),
        ):
            with pytest.raises(BadRequest, match="path: no component may begin with a dot"):
                write()

    def test_a_list_has_its_bounds(self) -> None:
        assert len(parse_paths(["a"] * 10_000)) == 10_000
        with pytest.raises(BadRequest, match="lists 10001 paths; at most 10000"):
            parse_paths(["a"] * 10_001)


class MovesTests:
    """Sources and destinations."""

    def test_two_paths_or_two_lists(self) -> None:
        assert parse_moves("/a", "b") == (("a", "b"),)
        assert parse_moves(["a", "b"], ("c", "d")) == (("a", "c"), ("b", "d"))
        assert parse_moves("a", ["b"]) == parse_moves(["a"], "b") == (("a", "b"),)

    @pytest.mark.parametrize(
        ("source", "destination", "why"),
        [
            ("a", ["b", "c"], "dst_path: lists 2 paths, src_path 1"),
            (["a"], [], "dst_path: lists 0 paths, src_path 1"),
            (["a", "b"], ["c"], "dst_path: lists 1 paths, src_path 2"),
            ("..", "a", "src_path: may not contain"),
            ("a", "..", "dst_path: may not contain"),
            (["a"], [None], "dst_path: is not a string but nil"),
        ],
    )
    def test_what_is_refused(self, source: object, destination: object, why: str) -> None:
        with pytest.raises(BadRequest, match=f"^{why}"):
            parse_moves(source, destination)


class BoundTests:
    """What one call may bring, and what a parser may let through."""

    def test_the_components_of_all_paths_are_bounded(self) -> None:
        deep = "a/" * 500 + "b"
        assert parse_paths([deep] * 199) == (deep,) * 199
        with pytest.raises(
            BadRequest, match=r"^path: the paths have 100200 components together; at most 100000"
        ):
            parse_paths([deep] * 200)
        with pytest.raises(BadRequest, match=r"^size: the paths have "):
            store(deep, "png", {str(n): [1, 1] for n in range(200)})

    def test_an_empty_list_has_no_paths(self) -> None:
        assert parse_paths([]) == ()
        assert parse_moves([], []) == ()

    @pytest.mark.parametrize(
        "arguments",
        [{"size": {1: [5, 5]}}, {"size": {None: [5, 5]}}, {"fmt": {1: "png"}, "size": [5, 5]}],
    )
    def test_a_suffix_is_a_string(self, arguments: dict[str, Any]) -> None:
        assert "has a suffix that is not a string" in refused(**arguments)


class NamesTests:
    """Which renditions are asked for."""

    def test_they_are_one_or_a_list(self) -> None:
        assert parse_names("w5.jpg") == ("w5.jpg",)
        assert parse_names(["w5.jpg", "x5.png"]) == ("w5.jpg", "x5.png")

    @pytest.mark.parametrize(
        "value", [[], None, 5, b"\xff", ["w5.jpg", 5], {"w5.jpg": 1}, ["w5.jpg"] * 257]
    )
    def test_what_is_refused(self, value: object) -> None:
        with pytest.raises(BadRequest, match=r"^outputs: "):
            parse_names(value)


class PageTests:
    """What list_images asks for."""

    def test_prefix_and_after_are_brought_to_the_form_of_paths(self) -> None:
        assert parse_page("/e\u0301/", "//a", 5) == ListPage("\u00e9/", "a", 5)
        assert parse_page(None, None, "7") == ListPage("", "", 7)

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ((5, "", 1), "prefix: "),
            (("", [], 1), "after: "),
            (("", "", 0), "limit: "),
            (("", "", 100_001), "limit: "),
            (("", "", True), "limit: "),
            (("", "", "x"), "limit: "),
        ],
    )
    def test_what_is_refused(self, arguments: tuple[object, object, object], why: str) -> None:
        with pytest.raises(BadRequest, match=f"^{why}"):
            parse_page(*arguments)
