"""store_image's rules on its arguments (docs/design/contract.md, "Arguments"), at the XML-RPC
boundary of a real daemon.
"""

import http.client
import io
import struct
import unicodedata
import xmlrpc.client
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.support.daemon_process import DaemonProcess, fault_of, text
from tests.support.gradients import encoded, gradient


def size_of(image: bytes) -> tuple[int, int]:
    """(width, height) of a stored file."""
    return Image.open(io.BytesIO(image)).size


class AcceptedTests:
    def test_an_image_alone_is_stored_byte_for_byte(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        assert daemon.proxy.store_image(text(picture), f"{folder}/a.jpg") == "OK"
        assert (daemon.images / folder / "a.jpg").read_bytes() == picture

    @pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", " ", "\t\n"])
    def test_base64_may_have_line_breaks_of_any_kind(
        self, daemon: DaemonProcess, folder: str, picture: bytes, ending: str
    ) -> None:
        broken = text(picture).replace("\n", ending)
        body = xmlrpc.client.dumps((broken, f"{folder}/a.jpg"), "store_image").replace(
            "\r", "&#13;"
        )
        assert post(daemon, body.encode()) == "OK"
        assert (daemon.images / folder / "a.jpg").read_bytes() == picture

    def test_an_image_may_be_a_base64_value(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        assert daemon.proxy.store_image(picture, f"{folder}/a.jpg") == "OK"
        assert (daemon.images / folder / "a.jpg").read_bytes() == picture

    def test_a_large_image_arrives_whole_in_either_form(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        large = encoded(Image.effect_noise((1500, 1500), 90).convert("RGB"), "PNG")
        daemon.proxy.store_image(text(large), f"{folder}/text.png")
        daemon.proxy.store_image(large, f"{folder}/binary.png")
        assert (daemon.images / folder / "text.png").read_bytes() == large
        assert (daemon.images / folder / "binary.png").read_bytes() == large

    @pytest.mark.parametrize(
        "nothing",
        [
            *[
                (None, None, 0, 0),
                (None, None),
                (None,),
                ("", "", 0, 0),
                (None, None, False, False),
                (None, None, "0", "0"),
            ],
            *[
                (0, 0, 0, 0),
                ("0", "0"),
                (False, False),
                ([], []),
                ({}, {}, {}, {}),
                (0.0, 0.0, 0.0, 0.0),
                ("", [], "", ""),
            ],
        ],
    )
    def test_what_old_clients_send_for_nothing_is_nothing(
        self, daemon: DaemonProcess, folder: str, picture: bytes, nothing: tuple[Any, ...]
    ) -> None:
        assert daemon.proxy.store_image(text(picture), f"{folder}/a.jpg", *nothing) == "OK"
        assert (daemon.images / folder / "a.jpg").read_bytes() == picture

    @pytest.mark.parametrize(
        "size", [[32, 32], ["32", "32"], ["32", 32], {"": [32, 32]}, [32.0, "32.0"], [" 32 ", 32.0]]
    )
    def test_sizes_are_numbers_or_numeric_strings(
        self, daemon: DaemonProcess, folder: str, picture: bytes, size: Any
    ) -> None:
        assert daemon.proxy.store_image(text(picture), f"{folder}/a.jpg", None, size) == "OK"
        assert size_of((daemon.images / folder / "a.jpg").read_bytes()) == (32, 24)

    @pytest.mark.parametrize("kind", ["i8", "i4", "double", "ex:i8", "string"])
    def test_a_side_may_be_of_any_type_that_holds_a_number(
        self, daemon: DaemonProcess, folder: str, picture: bytes, kind: str
    ) -> None:
        side = f"<value><{kind}>32</{kind}></value>"
        body = xmlrpc.client.dumps(
            (picture, f"{folder}/a.jpg", None, "SIZE"), "store_image", allow_none=True
        )
        body = body.replace(
            "<value><string>SIZE</string></value>",
            f"<value><array><data>{side}{side}</data></array></value>",
        )
        assert post(daemon, body.encode()) == "OK"
        assert size_of((daemon.images / folder / "a.jpg").read_bytes()) == (32, 24)

    @pytest.mark.parametrize("yes", [1, True, 2, "1", "yes", 1.0, [1]])
    def test_any_true_value_crops(
        self, daemon: DaemonProcess, folder: str, picture: bytes, yes: Any
    ) -> None:
        assert daemon.proxy.store_image(picture, f"{folder}/a.jpg", None, [32, 32], 0, yes) == "OK"
        assert size_of((daemon.images / folder / "a.jpg").read_bytes()) == (32, 32)

    def test_a_path_may_be_a_base64_value(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        path = f"{folder}/€.jpg"
        assert daemon.proxy.store_image(picture, path.encode(), b"jpg") == "OK"
        assert daemon.proxy.list_images(f"{folder}/".encode()) == [path]
        assert daemon.proxy.move_image(path.encode(), [f"{folder}/b.jpg".encode()]) == "OK"
        assert daemon.proxy.delete_image([f"{folder}/b.jpg".encode()]) == "OK"
        for bad in (b"\xff", b"a\xef\xbf\xbf", b"a\xed\xa0\x80", b"a\0"):
            assert fault_of(daemon.proxy.store_image, picture, bad).faultString.startswith(
                "[1000] path: "
            )
        assert daemon.proxy.list_images(folder) == []

    def test_a_large_image_may_be_in_a_cdata_section(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        large = encoded(Image.effect_noise((400, 400), 90).convert("RGB"), "PNG")
        body = xmlrpc.client.dumps(("IMAGE", f"{folder}/a.png"), "store_image").replace(
            "IMAGE", f"<![CDATA[{text(large)}]]>"
        )
        assert len(body) > 200_000
        assert post(daemon, body.encode()) == "OK"
        assert (daemon.images / folder / "a.png").read_bytes() == large

    def test_the_example_of_the_first_imagepipe_makes_three_images(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        source = encoded(gradient(800, 600), "JPEG")
        sizes = {"": [500, 500], "_medium": [250, 250], "_small": [50, 50]}
        assert (
            daemon.proxy.store_image(text(source), f"{folder}/x/y/z/image.jpg", None, sizes) == "OK"
        )
        stored = {
            path: size_of(image)
            for path, image in daemon.tree().items()
            if path.startswith(folder) and not path.endswith("/")
        }
        assert stored == {
            f"{folder}/x/y/z/image.jpg": (500, 375),
            f"{folder}/x/y/z/image_medium.jpg": (250, 188),
            f"{folder}/x/y/z/image_small.jpg": (50, 38),
        }

    def test_fmt_composite_and_crop_may_differ_by_suffix(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        sizes = {"_a": [20, 20], "_b": [20, 20], "_c": [20, 20]}
        assert (
            daemon.proxy.store_image(
                text(picture), f"{folder}/a.jpg", {"_b": "png"}, sizes, {"_b": 1}, {"_c": 1}
            )
            == "OK"
        )
        sizes_found = {
            path: size_of(image)
            for path, image in daemon.tree().items()
            if path.startswith(folder) and not path.endswith("/")
        }
        assert sizes_found == {
            f"{folder}/a_a.jpg": (20, 15),
            f"{folder}/a_b.png": (20, 20),
            f"{folder}/a_c.jpg": (20, 20),
        }

    @pytest.mark.parametrize(
        ("path", "fmt", "stored", "format"),
        [
            ("a.jpg", "png", "a.png", "PNG"),
            ("a", "png", "a.png", "PNG"),
            ("a.JPG", None, "a.JPG", "JPEG"),
            ("a.png", None, "a.png", "PNG"),
            ("a.gif", None, "a.gif", "GIF"),
            ("a.webp", None, "a.webp", "WEBP"),
            ("a.tif", None, "a.tif", "TIFF"),
            ("a.avif", None, "a.avif", "AVIF"),
            ("a.unknown", None, "a.unknown", "JPEG"),
            ("a", None, "a", "JPEG"),
            ("a.b.jpg", "WEBP", "a.b.webp", "WEBP"),
            ("d.x/a", "jpeg", "d.x/a.jpeg", "JPEG"),
        ],
    )
    def test_the_format_is_fmts_or_the_extensions_or_the_sources(
        self,
        daemon: DaemonProcess,
        folder: str,
        picture: bytes,
        path: str,
        fmt: str | None,
        stored: str,
        format: str,
    ) -> None:
        daemon.proxy.store_image(text(picture), f"{folder}/{path}", fmt, [32, 32])
        assert Image.open(daemon.images / folder / stored).format == format

    def test_fmt_without_size_converts(
        self, daemon: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        daemon.proxy.store_image(text(picture), f"{folder}/a.jpg", "png")
        converted = Image.open(daemon.images / folder / "a.png")
        assert (converted.format, converted.size) == ("PNG", (64, 48))

    @pytest.mark.parametrize(
        ("path", "stored"),
        [
            ("/{}/a.jpg", "{}/a.jpg"),
            ("//{}///b//a.jpg", "{}/b/a.jpg"),
            ("./{}/./a.jpg", "{}/a.jpg"),
            ("{}/" + unicodedata.normalize("NFD", "é") + ".jpg", "{}/é.jpg"),
            ("{}/with space & <sign>.jpg", "{}/with space & <sign>.jpg"),
            ("{}/" + "x" * 251 + ".jpg", "{}/" + "x" * 251 + ".jpg"),
        ],
    )
    def test_paths_are_cleaned(
        self, daemon: DaemonProcess, folder: str, picture: bytes, path: str, stored: str
    ) -> None:
        daemon.proxy.store_image(text(picture), path.format(folder))
        assert (daemon.images / stored.format(folder)).read_bytes() == picture
        assert daemon.proxy.list_images(folder) == [stored.format(folder)]


class RefusedTests:
    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            ".",
            "./.",
            "..",
            "a/../b.jpg",
            "../a.jpg",
            "a/..",
            ".hidden.jpg",
            "a/.b/c.jpg",
            ".imagepipe/a.jpg",
            "a\tb.jpg",
            "a\nb.jpg",
            "a\x7fb.jpg",
            "a\x85b.jpg",
            "x" * 256,
            "é" * 128,
            "/".join(["x" * 200] * 6),
            "a.html",
            "a.HTM",
            "a.xhtml",
            "a.xml",
            "a.svg",
            "a.svgz",
            "a.js",
            "a.css",
            "a.php",
            "a.php5",
            "a.phtml",
            "a.cgi",
            "a.py",
            "a.sh",
            "a.php.jpg",
            "a.php.",
            "status",
            "status/a.jpg",
            "status.json",
            "healthz",
            "readyz/x",
            "metrics",
            "a/info.json",
            "info.json",
            "folder/",
            7,
            None,
            ["a.jpg"],
            {"a": "b"},
            True,
        ],
    )
    def test_an_illegal_path_is_fault_1000_and_stores_nothing(
        self, daemon: DaemonProcess, picture: bytes, path: Any
    ) -> None:
        before = daemon.tree()
        fault = fault_of(daemon.proxy.store_image, text(picture), path)
        assert fault.faultCode == 1000
        assert fault.faultString.startswith("[1000] path: ")
        assert daemon.tree() == before

    @pytest.mark.parametrize(
        ("arguments", "argument"),
        [
            ({"fmt": "svg"}, "fmt"),
            ({"fmt": "mvg"}, "fmt"),
            ({"fmt": "../../png"}, "fmt"),
            ({"fmt": "png:/tmp/x"}, "fmt"),
            ({"fmt": 5}, "fmt"),
            ({"fmt": "bmp"}, "fmt"),
            ({"fmt": "pdf"}, "fmt"),
            ({"fmt": "png8"}, "fmt"),
            ({"fmt": ["png"]}, "fmt"),
            ({"fmt": {"_x": "png"}}, "fmt"),
            ({"fmt": {"_x": "png"}, "size": {"_y": [1, 1]}}, "fmt"),
            ({"size": [0, 10]}, "size"),
            ({"size": [10, -1]}, "size"),
            ({"size": [8193, 10]}, "size"),
            ({"size": [10]}, "size"),
            ({"size": [10, 10, 10]}, "size"),
            ({"size": "10x10"}, "size"),
            ({"size": 10}, "size"),
            ({"size": ["10.5", 10]}, "size"),
            ({"size": ["1e1", 10]}, "size"),
            ({"size": ["\u0661\u0660", 10]}, "size"),
            ({"size": [10.5, 10]}, "size"),
            ({"size": [True, 10]}, "size"),
            ({"size": {"a/b": [1, 1]}}, "size"),
            ({"size": {"a\tb": [1, 1]}}, "size"),
            ({"size": {".php": [1, 1]}}, "size"),
            ({"size": {"x" * 252: [1, 1]}}, "size"),
            ({"size": {"": None}}, "size"),
            ({"size": {"é": [1, 1], "e\u0301": [2, 2]}}, "size"),
            ({"size": {str(number): [1, 1] for number in range(257)}}, "size"),
            ({"composite": 1}, "composite"),
            ({"crop": 1}, "crop"),
            ({"size": [10, 10], "composite": 1, "crop": 1}, "composite"),
            ({"size": [10, 10], "composite": "false"}, "composite"),
            ({"size": [10, 10], "crop": "no"}, "crop"),
            ({"size": {"_a": [10, 10]}, "crop": {"_b": 1}}, "crop"),
            ({"size": {"_a": [10, 10]}, "composite": {"_a": 1}, "crop": {"_a": 1}}, "composite"),
            ({"image": ""}, "image"),
            ({"image": "%%%"}, "image"),
            ({"image": "AAA"}, "image"),
            ({"image": text(b"not an image")}, "image"),
            ({"image": text(b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, "image"),
            ({"image": text(b"%PDF-1.4")}, "image"),
            ({"image": text(b"%!PS-Adobe-3.0 EPSF-3.0")}, "image"),
            ({"image": text(b"push graphic-context\n")}, "image"),
            ({"image": text(b"\x89PNG\r\n")}, "image"),
            ({"image": 5}, "image"),
            ({"image": None}, "image"),
            ({"image": ["a"]}, "image"),
        ],
    )
    def test_a_wrong_argument_is_fault_1000_that_names_it(
        self, daemon: DaemonProcess, folder: str, picture: bytes, arguments: Any, argument: str
    ) -> None:
        before = daemon.tree()
        call = {
            "image": text(picture),
            "path": f"{folder}/a.jpg",
            "fmt": None,
            "size": None,
            "composite": 0,
            "crop": 0,
        } | arguments
        fault = fault_of(daemon.proxy.store_image, *call.values())
        assert fault.faultCode == 1000
        assert fault.faultString.startswith(f"[1000] {argument}: ")
        assert daemon.tree() == before

    @pytest.mark.parametrize("path", ["a/b", "a/b/c.jpg", "b", "b/c"])
    def test_a_path_cannot_lie_below_or_above_an_image(
        self, daemon: DaemonProcess, folder: str, picture: bytes, path: str
    ) -> None:
        daemon.proxy.store_image(text(picture), f"{folder}/a")
        daemon.proxy.store_image(text(picture), f"{folder}/b/c/d")
        daemon.proxy.store_image(text(picture), f"{folder}/other")
        before = daemon.tree()
        fault = fault_of(daemon.proxy.store_image, text(picture), f"{folder}/{path}")
        assert (fault.faultCode, fault.faultString[:13]) == (1000, "[1000] path: ")
        fault = fault_of(daemon.proxy.move_image, f"{folder}/other", f"{folder}/{path}")
        assert (fault.faultCode, fault.faultString[:17]) == (1000, "[1000] dst_path: ")
        assert daemon.tree() == before

    @pytest.mark.parametrize(
        ("name", "image"),
        [
            ("65536x65536 1-bit PNG", "png"),
            ("GIF of a huge canvas", "gif"),
            ("wide JPEG header", "jpeg"),
        ],
    )
    def test_a_bomb_is_refused_by_its_header(
        self, daemon: DaemonProcess, folder: str, name: str, image: str
    ) -> None:
        before = daemon.tree()
        for size in (None, [10, 10]):
            fault = fault_of(
                daemon.proxy.store_image, text(bombs()[image]), f"{folder}/a.png", None, size
            )
            assert (fault.faultCode, "max_pixels" in fault.faultString) == (1000, True), (
                name,
                fault,
            )
        assert daemon.tree() == before

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
    def test_a_cut_off_image_cannot_be_rendered(
        self, daemon: DaemonProcess, folder: str, format: str
    ) -> None:
        before = daemon.tree()
        whole = encoded(Image.effect_noise((300, 300), 80).convert("RGB"), format)
        fault = fault_of(
            daemon.proxy.store_image,
            text(whole[: len(whole) // 2]),
            f"{folder}/a.jpg",
            None,
            [100, 100],
        )
        assert fault.faultCode == 1001
        assert fault.faultString.startswith("[1001] ")
        assert daemon.tree() == before


class ProtocolTests:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<",
            b"\xff\xfe",
            b"<methodCall>",
            b"<a/>",
            b"{}",
            b"<methodCall><methodName/></methodCall>",
            b"a=1&" * 300000,
            (
                b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x"
                b" 'y'>]><methodCall><methodName>&x;</methodName></methodCall>"
            ),
        ],
    )
    def test_anything_but_a_call_is_a_fault(self, daemon: DaemonProcess, body: bytes) -> None:
        assert fault_of(post, daemon, body).faultCode in (8001, 8002)

    def test_an_unknown_method_is_a_fault(self, daemon: DaemonProcess) -> None:
        assert fault_of(daemon.proxy.explode).faultCode == 8001
        assert fault_of(daemon.proxy.system.explode).faultCode == 8001
        assert fault_of(getattr(daemon.proxy, "nobody.explode")).faultCode == 8001

    @pytest.mark.parametrize(
        ("method", "arguments"),
        [
            ("store_image", ()),
            ("store_image", ("x",)),
            ("store_image", tuple("abcdefgh")),
            ("delete_image", ()),
        ],
    )
    def test_a_wrong_number_of_arguments_is_a_fault(
        self, daemon: DaemonProcess, method: str, arguments: tuple[str, ...]
    ) -> None:
        fault = fault_of(getattr(daemon.proxy, method), *arguments)
        assert (fault.faultCode, "arguments" in fault.faultString) == (8002, True)

    def test_the_methods_explain_themselves(self, daemon: DaemonProcess) -> None:
        methods = daemon.proxy.system.listMethods()
        assert {
            "store_image",
            "delete_image",
            "move_image",
            "image_info",
            "list_images",
            "system.listMethods",
        } <= set(methods)
        for method in methods:
            assert daemon.proxy.system.methodHelp(method)
            assert daemon.proxy.system.methodSignature(method)


def post(daemon: DaemonProcess, body: bytes) -> Any:
    """The value of a raw call."""
    parts = urlsplit(daemon.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("POST", "/RPC2", body, {"Content-Type": "application/xml"})
    return xmlrpc.client.loads(connection.getresponse().read())[0][0]


def bombs() -> dict[str, bytes]:
    """Small files that claim to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(bytes(1 + 8192) * 1000)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 65536, 65536, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )
    gif = (
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0)
        + bytes(6)
        + b","
        + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        + b"\x02\x02\x4c\x01\x00;"
    )
    jpeg = bytearray(encoded(gradient(64, 48), "JPEG"))
    header = jpeg.index(b"\xff\xc0")
    jpeg[header + 5 : header + 9] = struct.pack(">HH", 60000, 60000)
    return {"png": png, "gif": gif, "jpeg": bytes(jpeg)}
