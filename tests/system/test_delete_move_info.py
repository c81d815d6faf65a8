"""delete_image, move_image, image_info and list_images (docs/design/contract.md, "XML-RPC"), at the
XML-RPC boundary of a real daemon.
"""

import datetime as dt
import hashlib
from typing import Any

import pytest

from tests.support.daemon_process import DaemonProcess, fault_of, text
from tests.support.gradients import encoded, gradient


def stored(daemon: DaemonProcess, folder: str, names: str) -> dict[str, bytes]:
    """Store a different picture at each of `names`; {path: bytes}."""
    pictures = {
        f"{folder}/{name}": encoded(gradient(10 + number, 10), "PNG")
        for number, name in enumerate(names.split())
    }
    for path, picture in pictures.items():
        daemon.proxy.store_image(picture, path)
    return pictures


def files(daemon: DaemonProcess, folder: str) -> dict[str, bytes]:
    """What the tree has below `folder`, empty folders and leftovers included."""
    return {
        path: image
        for path, image in daemon.tree().items()
        if path.startswith(f"{folder}/") and (not path.endswith("/") or path == f"{folder}/")
    }


class DeleteTests:
    def test_a_deleted_image_is_gone_with_its_emptied_folders(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        stored(daemon, folder, "x/y/a.png")
        assert daemon.proxy.delete_image(f"{folder}/x/y/a.png") == "OK"
        assert [path for path in daemon.tree() if path.startswith(folder)] == []
        assert daemon.proxy.list_images(folder) == []

    def test_deleting_what_does_not_exist_is_ok(self, daemon: DaemonProcess, folder: str) -> None:
        assert daemon.proxy.delete_image(f"{folder}/never") == "OK"
        assert daemon.proxy.delete_image(f"{folder}/never") == "OK"

    def test_a_list_is_deleted_as_one(self, daemon: DaemonProcess, folder: str) -> None:
        pictures = stored(daemon, folder, "a b c")
        before = daemon.tree()
        assert (
            fault_of(daemon.proxy.delete_image, [f"{folder}/a", "..", f"{folder}/b"]).faultCode
            == 1000
        )
        assert daemon.tree() == before
        assert (
            daemon.proxy.delete_image(
                [f"{folder}/a", f"//{folder}/b", f"{folder}/never", f"{folder}/a"]
            )
            == "OK"
        )
        assert daemon.proxy.list_images(folder) == [f"{folder}/c"]
        assert files(daemon, folder) == {f"{folder}/": b"", f"{folder}/c": pictures[f"{folder}/c"]}

    @pytest.mark.parametrize(
        "path", ["", "..", 5, None, [5], {"a": "b"}, "a/.imagepipe/x", "a" * 50_000]
    )
    def test_a_wrong_path_is_fault_1000(self, daemon: DaemonProcess, path: Any) -> None:
        fault = fault_of(daemon.proxy.delete_image, path)
        assert (fault.faultCode, fault.faultString[:13]) == (1000, "[1000] path: ")

    def test_an_empty_list_is_nothing_to_do(self, daemon: DaemonProcess) -> None:
        before = daemon.tree()
        assert daemon.proxy.delete_image([]) == "OK"
        assert daemon.proxy.move_image([], []) == "OK"
        assert daemon.tree() == before

    def test_a_deleted_image_can_be_stored_again(self, daemon: DaemonProcess, folder: str) -> None:
        pictures = stored(daemon, folder, "a")
        daemon.proxy.delete_image(f"{folder}/a")
        daemon.proxy.store_image(pictures[f"{folder}/a"], f"{folder}/a/b")
        assert daemon.proxy.list_images(folder) == [f"{folder}/a/b"]


class MoveTests:
    def test_an_image_moves_with_its_bytes(self, daemon: DaemonProcess, folder: str) -> None:
        pictures = stored(daemon, folder, "x/a")
        assert daemon.proxy.move_image(f"{folder}/x/a", f"/{folder}/y/z/b") == "OK"
        assert daemon.proxy.list_images(folder) == [f"{folder}/y/z/b"]
        assert (daemon.images / folder / "y/z/b").read_bytes() == pictures[f"{folder}/x/a"]
        assert not (daemon.images / folder / "x").exists()

    def test_what_is_at_the_destination_is_replaced(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        pictures = stored(daemon, folder, "a b")
        daemon.proxy.move_image(f"{folder}/a", f"{folder}/b")
        assert files(daemon, folder) == {f"{folder}/": b"", f"{folder}/b": pictures[f"{folder}/a"]}

    def test_pairs_apply_in_order(self, daemon: DaemonProcess, folder: str) -> None:
        pictures = stored(daemon, folder, "a b")
        a, b, c = (f"{folder}/{name}" for name in "abc")
        assert daemon.proxy.move_image([a, b, c], [c, a, b]) == "OK"
        assert files(daemon, folder) == {f"{folder}/": b"", a: pictures[b], b: pictures[a]}

    def test_a_missing_source_moves_nothing(self, daemon: DaemonProcess, folder: str) -> None:
        stored(daemon, folder, "a b")
        before = daemon.tree()
        a, b, c = (f"{folder}/{name}" for name in "abc")
        for sources, destinations in (([a, c], [c + "x", a]), (c, a), ([a, a], [c, b])):
            fault = fault_of(daemon.proxy.move_image, sources, destinations)
            assert (fault.faultCode, fault.faultString[:17]) == (1000, "[1000] src_path: ")
        assert daemon.tree() == before

    def test_a_move_onto_itself_changes_nothing(self, daemon: DaemonProcess, folder: str) -> None:
        stored(daemon, folder, "a")
        before = daemon.proxy.image_info(f"{folder}/a")
        assert daemon.proxy.move_image(f"{folder}/a", f"{folder}//a") == "OK"
        assert daemon.proxy.image_info(f"{folder}/a") == before
        assert (
            fault_of(daemon.proxy.move_image, f"{folder}/never", f"{folder}/never").faultCode
            == 1000
        )

    def test_an_image_may_move_below_or_above_its_own_path(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        pictures = stored(daemon, folder, "a")
        daemon.proxy.move_image(f"{folder}/a", f"{folder}/a/b")
        assert files(daemon, folder) | {f"{folder}/": b""} == {
            f"{folder}/": b"",
            f"{folder}/a/b": pictures[f"{folder}/a"],
        }
        daemon.proxy.move_image(f"{folder}/a/b", f"{folder}/a")
        assert files(daemon, folder) == {f"{folder}/": b"", f"{folder}/a": pictures[f"{folder}/a"]}

    @pytest.mark.parametrize(
        ("sources", "destinations", "argument"),
        [
            (["a", "b"], "c", "dst_path"),
            ("a", ["b", "c"], "dst_path"),
            (["a", "b"], ["c"], "dst_path"),
            (["a"], [], "dst_path"),
            (5, "b", "src_path"),
            ("a", 5, "dst_path"),
            ("a", "b.php", "dst_path"),
            ("..", "b", "src_path"),
            ("a", "../b", "dst_path"),
            (None, None, "src_path"),
        ],
    )
    def test_wrong_paths_are_fault_1000(
        self, daemon: DaemonProcess, sources: Any, destinations: Any, argument: str
    ) -> None:
        before = daemon.tree()
        fault = fault_of(daemon.proxy.move_image, sources, destinations)
        assert fault.faultCode == 1000
        assert fault.faultString.startswith(f"[1000] {argument}: ")
        assert daemon.tree() == before


class InfoTests:
    def test_the_facts_are_the_files_own(self, daemon: DaemonProcess, folder: str) -> None:
        began = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=1)
        picture = encoded(gradient(31, 17), "PNG")
        daemon.proxy.store_image(text(picture), f"{folder}/a.jpg")
        info = daemon.proxy.image_info(f"/{folder}//a.jpg")
        modified = dt.datetime.fromisoformat(info.pop("modified"))
        assert info == {
            "path": f"{folder}/a.jpg",
            "size": len(picture),
            "digest": hashlib.sha256(picture).hexdigest(),
            "width": 31,
            "height": 17,
            "format": "png",
        }
        assert began <= modified <= dt.datetime.now(dt.UTC)

    def test_a_rendition_has_facts_too(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        daemon.proxy.store_image(
            text(picture), f"{folder}/a.jpg", "webp", {"": [30, 30], "_c": [9, 7]}, 0, {"_c": 1}
        )
        facts = [daemon.proxy.image_info(f"{folder}/{name}") for name in ("a.webp", "a_c.webp")]
        assert [(fact["width"], fact["height"], fact["format"]) for fact in facts] == [
            (30, 23, "webp"),
            (9, 7, "webp"),
        ]

    @pytest.mark.parametrize("path", ["never", "..", 5])
    def test_no_image_is_fault_1000(self, daemon: DaemonProcess, path: Any) -> None:
        fault = fault_of(daemon.proxy.image_info, path)
        assert (fault.faultCode, fault.faultString[:13]) == (1000, "[1000] path: ")


class ListTests:
    def test_paths_come_in_order_and_in_pages(self, daemon: DaemonProcess, folder: str) -> None:
        paths = sorted(stored(daemon, folder, "b a c/d c-d é z 10 9"), key=str.encode)
        assert daemon.proxy.list_images(f"{folder}/") == paths
        assert daemon.proxy.list_images(f"{folder}/", "", 3) == paths[:3]
        assert daemon.proxy.list_images(f"{folder}/", paths[2], 3) == paths[3:6]
        assert daemon.proxy.list_images(f"{folder}/c") == [
            path for path in paths if path.startswith(f"{folder}/c")
        ]
        assert daemon.proxy.list_images(f"{folder}/", paths[-1]) == []

    @pytest.mark.parametrize(
        "arguments",
        [(5,), ("", 5), ("", "", 0), ("", "", 100_001), ("", "", "x"), ("", "", True), ([],)],
    )
    def test_wrong_arguments_are_fault_1000(
        self, daemon: DaemonProcess, arguments: tuple[Any, ...]
    ) -> None:
        assert fault_of(daemon.proxy.list_images, *arguments).faultCode == 1000


class HugeTests:
    def test_deep_paths_by_the_hundreds_are_answered_and_thousands_refused(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        deep = [f"{folder}/{number}" + "/a" * 450 for number in range(1000)]
        assert daemon.proxy.delete_image(deep[:200]) == "OK"
        fault = fault_of(daemon.proxy.delete_image, deep)
        assert (fault.faultCode, "components" in fault.faultString) == (1000, True)

    def test_ten_thousand_paths_go_into_one_call(self, daemon: DaemonProcess, folder: str) -> None:
        paths = [f"{folder}/{number}.jpg" for number in range(10_000)]
        assert daemon.proxy.delete_image(paths) == "OK"
        assert fault_of(daemon.proxy.delete_image, [*paths, "one more"]).faultCode == 1000
