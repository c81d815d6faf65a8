"""`imagepipe store`, `delete`, `move`, `info`, `list` and `status` against a real daemon."""

import json
from pathlib import Path

import pytest

from tests.support.command_line import Terminal, against, port_of, run
from tests.support.daemon_process import DaemonProcess


@pytest.fixture
def photo(tmp_path: Path, picture: bytes) -> Path:
    """A picture in a file."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(picture)
    return file


class StoreTests:
    def test_a_file_is_stored_byte_for_byte_under_its_path(
        self, daemon: DaemonProcess, folder: str, photo: Path
    ) -> None:
        done = against(daemon, "store", photo, "--path", f"{folder}/a.jpg")
        assert (done.status, done.rows, done.err) == (0, [[str(photo), f"{folder}/a.jpg"]], "")
        assert (daemon.images / folder / "a.jpg").read_bytes() == photo.read_bytes()

    def test_without_a_path_it_is_the_name_of_the_file(
        self, daemon: DaemonProcess, tmp_path: Path, picture: bytes
    ) -> None:
        (tmp_path / "unique-name.jpg").write_bytes(picture)
        assert against(daemon, "store", tmp_path / "unique-name.jpg").status == 0
        assert (daemon.images / "unique-name.jpg").exists()

    def test_sizes_have_suffix_format_and_method(
        self, daemon: DaemonProcess, folder: str, photo: Path
    ) -> None:
        sizes = (
            "--size",
            "40 40",
            "--size",
            "_s 20 20 png crop",
            "--size",
            "_c 20 20 gif composite",
        )
        done = against(daemon, "store", photo, "--path", f"//{folder}/./a.jpg", *sizes)
        assert (done.status, done.rows) == (
            0,
            [[str(photo), f"{folder}/{name}"] for name in ("a.jpg", "a_s.png", "a_c.gif")],
        )
        facts = {
            path: daemon.proxy.image_info(f"{folder}/{path}")
            for path in ("a.jpg", "a_s.png", "a_c.gif")
        }
        assert {
            path: (fact["width"], fact["height"], fact["format"]) for path, fact in facts.items()
        } == {
            "a.jpg": (40, 30, "jpeg"),
            "a_s.png": (20, 20, "png"),
            "a_c.gif": (20, 20, "gif"),
        }

    def test_what_is_said_for_all_sizes_gives_way_to_what_one_says(
        self, daemon: DaemonProcess, folder: str, photo: Path
    ) -> None:
        done = against(
            daemon,
            "store",
            photo,
            "--path",
            f"{folder}/a.jpg",
            "--crop",
            "--fmt",
            "png",
            "--size",
            "_a 20 20",
            "--size",
            "_b 20 20 gif composite",
        )
        assert done.status == 0
        assert daemon.proxy.list_images(f"{folder}/") == [f"{folder}/a_a.png", f"{folder}/a_b.gif"]
        assert daemon.proxy.image_info(f"{folder}/a_a.png")["height"] == 20

    def test_a_format_alone_converts(self, daemon: DaemonProcess, folder: str, photo: Path) -> None:
        assert (
            against(daemon, "store", photo, "--path", f"{folder}/a.jpg", "--fmt", "webp").status
            == 0
        )
        assert daemon.proxy.image_info(f"{folder}/a.webp")["format"] == "webp"

    def test_the_standard_input_is_a_file_too(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        assert against(daemon, "store", "-", "--path", f"{folder}/a.jpg", input=picture).status == 0
        assert (daemon.images / folder / "a.jpg").read_bytes() == picture

    def test_of_several_files_those_that_fail_are_listed_and_the_others_stored(
        self, daemon: DaemonProcess, folder: str, photo: Path
    ) -> None:
        text, missing = photo.with_name("text.jpg"), photo.with_name("missing.jpg")
        text.write_text("no picture")
        done = against(daemon, "store", text, missing, photo, "--path", f"{folder}/")
        assert done.status == 1
        assert done.rows == [[str(photo), f"{folder}/photo.jpg"]]
        first, second = done.err.splitlines()
        assert first.startswith(f"imagepipe: {text}: [1000] image: ")
        assert second == f"imagepipe: {missing}: No such file or directory"

    @pytest.mark.parametrize(
        ("names", "arguments"),
        [
            (("a.jpg", "a.png"), ["--fmt", "webp"]),
            (("a.jpg", "a_s.jpg"), ["--size", "9 9", "--size", "_s 9 9"]),
            (("e\u0301.jpg", "\u00e9.jpg"), []),
        ],
    )
    def test_files_that_would_replace_each_other_are_wrong_usage(
        self,
        daemon: DaemonProcess,
        folder: str,
        photo: Path,
        names: tuple[str, ...],
        arguments: list[str],
    ) -> None:
        files = [photo.with_name(name) for name in names]
        for file in files:
            file.write_bytes(photo.read_bytes())
        done = against(daemon, "store", *files, "--path", f"{folder}/", *arguments)
        assert (done.status, "would both be stored at" in done.err) == (2, True)
        assert daemon.proxy.list_images(folder) == []

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--path", "a.jpg"],
            ["--size", "1"],
            ["--size", "_s 20 20 png crop more"],
            ["--size", "20 20", "--size", "30 30"],
            ["--crop", "--composite"],
            ["--no-such-option"],
        ],
        ids=" ".join,
    )
    def test_wrong_usage_is_status_2_and_a_line(
        self, daemon: DaemonProcess, photo: Path, arguments: list[str]
    ) -> None:
        done = against(daemon, "store", photo, photo.with_name("b.jpg"), *arguments)
        assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert done.err.startswith("imagepipe: ")


class DeleteMoveTests:
    def test_images_are_moved_in_pairs_and_deleted(
        self, daemon: DaemonProcess, folder: str, photo: Path
    ) -> None:
        against(daemon, "store", photo, "--path", f"{folder}/a.jpg")
        against(daemon, "store", photo, "--path", f"{folder}/b.jpg", "--fmt", "jpg")
        moved = against(daemon, "move", *(f"{folder}/{name}.jpg" for name in ("a", "c", "b", "d")))
        assert (moved.status, moved.out, moved.err) == (0, "", "")
        assert daemon.proxy.list_images(folder) == [f"{folder}/c.jpg", f"{folder}/d.jpg"]
        assert (
            against(
                daemon, "delete", f"{folder}/c.jpg", f"{folder}/d.jpg", f"{folder}/never.jpg"
            ).status
            == 0
        )
        assert daemon.proxy.list_images(folder) == []

    def test_a_source_that_is_not_there_is_the_daemons_sentence(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        done = against(daemon, "move", f"{folder}/a", f"{folder}/b")
        assert done.status == 1
        assert done.err.startswith("imagepipe: [1000] src_path: ")

    def test_an_odd_path_is_wrong_usage(self, daemon: DaemonProcess) -> None:
        assert against(daemon, "move", "a", "b", "c").status == 2


class InfoListTests:
    def test_facts_are_lines_of_name_and_value_or_json(
        self, daemon: DaemonProcess, folder: str, photo: Path
    ) -> None:
        against(daemon, "store", photo, "--path", f"{folder}/a.jpg")
        facts = daemon.proxy.image_info(f"{folder}/a.jpg")
        assert json.loads(against(daemon, "info", f"{folder}/a.jpg", "--json").out) == facts
        assert against(daemon, "info", f"{folder}/a.jpg").rows == [
            [name, str(value)] for name, value in facts.items()
        ]

    def test_no_such_image_is_status_1(self, daemon: DaemonProcess, folder: str) -> None:
        done = against(daemon, "info", f"{folder}/nothing.jpg")
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("imagepipe: [1000] path: ")

    def test_paths_are_listed_from_a_prefix_and_a_place(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        paths = [f"{folder}/{number}.jpg" for number in range(4)]
        for path in paths:
            daemon.proxy.store_image(picture, path)
        assert against(daemon, "list", f"{folder}/").out.splitlines() == paths
        assert against(daemon, "list", f"{folder}/", "--limit", "2").out.splitlines() == paths[:2]
        assert (
            against(daemon, "list", f"{folder}/", "--after", paths[1]).out.splitlines() == paths[2:]
        )
        assert json.loads(against(daemon, "list", f"{folder}/", "--json").out) == paths
        assert json.loads(against(daemon, "list", f"{folder}/x", "--json").out) == []

    def test_a_name_can_do_nothing_to_a_terminal(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        daemon.proxy.store_image(picture, f"{folder}/\u202egpj.exe.jpg")
        assert against(daemon, "list", f"{folder}/").out == f"{folder}/\\u202egpj.exe.jpg\n"


class StatusTests:
    def test_status_is_lines_of_name_and_value_or_json(self, daemon: DaemonProcess) -> None:
        done = against(daemon, "status")
        assert done.status == 0
        assert ["ready", "yes"] in done.rows
        assert json.loads(against(daemon, "status", "--json").out)["ready"] is True

    def test_it_is_watched_on_a_terminal_until_it_is_interrupted(
        self, daemon: DaemonProcess
    ) -> None:
        with Terminal(
            "status", "--watch", "--interval", "0.1", "--port", port_of(daemon)
        ) as terminal:
            terminal.read_until("ready")
            terminal.seen = ""
            terminal.read_until("ready")
            terminal.interrupt()
            status, _ = terminal.end()
        assert status == 130


class ConnectionTests:
    def test_the_port_may_stand_before_the_command_or_in_the_environment_or_in_the_daemons_file(
        self, daemon: DaemonProcess
    ) -> None:
        port = port_of(daemon)
        assert run("--port", port, "status").status == 0
        assert run("status", env={"IMAGEPIPE_PORT": port}).status == 0
        assert run("--port", "1", "status", "--port", port).status == 0
        file = daemon.folder / "client.ini"
        file.write_text(daemon.config.read_text().replace("port = 0", f"port = {port}"))
        assert run("-c", str(file), "status").status == 0

    def test_without_a_command_there_is_help_and_status_2(self) -> None:
        done = run()
        assert done.status == 2
