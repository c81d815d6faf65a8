"""Renditions by GET, over real sockets: what each name gives, who may have it, how often it is
made, and how long it stays.
"""

import contextlib
import hashlib
import hmac
import io
import resource
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from tests.support.cluster import eventually
from tests.support.daemon_process import DaemonProcess, running, text
from tests.support.gradients import encoded, gradient
from tests.support.http_client import Response, request
from tests.support.http_responses import answer
from tests.support.image_server import HTTP, connected, get, received, renders, status
from tests.support.stepped_convert import SteppedConvert

CROWD = 1000
AVIF_AND_WEBP = "image/avif,image/webp,image/apng,*/*;q=0.8"

Options = dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """An image server that the tests share."""
    with running(tmp_path_factory.mktemp("server"), with_options(io_threads=2)) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def photo(server: DaemonProcess) -> str:
    """The path of an opaque picture of 200x150 pixels."""
    server.proxy.store_image(text(encoded(gradient(200, 150), "PNG")), "photo.png")
    return "/photo.png"


@pytest.fixture(scope="module")
def glass(server: DaemonProcess) -> str:
    """The path of a picture of 40x40 pixels that is transparent on the left and red on the
    right.
    """
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 20, 40))
    server.proxy.store_image(text(encoded(image, "PNG")), "glass.png")
    return "/glass.png"


@pytest.fixture(scope="module")
def film(server: DaemonProcess) -> str:
    """The path of a GIF of three frames."""
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    server.proxy.store_image(
        text(
            encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0)
        ),
        "film.gif",
    )
    return "/film.gif"


@pytest.fixture
def held(tmp_path: Path, turnstile: SteppedConvert, picture: bytes) -> Iterator[DaemonProcess]:
    """A daemon with the picture a.jpg that takes one job at a time; renders wait at the
    turnstile.
    """
    options = with_options(engine="imagemagick", io_threads=1, queue=0) | {
        "imagemagick": {"convert": turnstile.convert}
    }
    with running(tmp_path, options) as daemon:
        daemon.proxy.store_image(text(picture), "a.jpg")
        yield daemon


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Threads to ask from."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


def with_options(http: dict[str, object] | None = None, **images: object) -> Options:
    """The options of an image server."""
    return {"http": HTTP["http"] | (http or {}), "images": images}


def opened(found: Response) -> Image.Image:
    """The picture that was sent."""
    assert found.status == 200, found
    image = Image.open(io.BytesIO(found.body))
    image.load()
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    """How far the channels of two pictures are apart, on average, of 255."""
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


class NameTests:
    """What each form of a name gives."""

    @pytest.mark.parametrize(
        ("name", "size", "expected"),
        [
            ("w50", (50, 38), lambda source: source.resize((50, 38), Image.Resampling.LANCZOS)),
            (
                "w199",
                (199, 149),
                lambda source: source.resize((199, 149), Image.Resampling.LANCZOS),
            ),
            ("w200", (200, 150), lambda source: source),
            ("w500", (200, 150), lambda source: source),
            ("w1", (1, 1), None),
            ("x60", (60, 60), lambda source: ImageOps.fit(source, (60, 60))),
            ("x300", (300, 300), lambda source: ImageOps.fit(source, (300, 300))),
            ("30x40", (30, 40), lambda source: ImageOps.fit(source, (30, 40))),
            ("90x20", (90, 20), lambda source: ImageOps.fit(source, (90, 20))),
            ("1000x1", (1000, 1), None),
            ("full_size", (200, 150), lambda source: source),
            ("w50-q90", (50, 38), lambda source: source.resize((50, 38), Image.Resampling.LANCZOS)),
            ("full_size-q100", (200, 150), lambda source: source),
        ],
    )
    def test_the_picture_has_the_size_that_the_name_says(
        self,
        server: DaemonProcess,
        photo: str,
        name: str,
        size: tuple[int, int],
        expected: Callable[[Image.Image], Image.Image] | None,
    ) -> None:
        for extension in ("png", "jpg"):
            image = opened(get(server, f"{photo}/{name}.{extension}"))
            assert image.size == size
            if expected:
                assert difference(image, expected(gradient(200, 150))) < 4

    @pytest.mark.parametrize(
        ("extension", "format", "media_type"),
        [
            ("jpg", "JPEG", "image/jpeg"),
            ("jpeg", "JPEG", "image/jpeg"),
            ("png", "PNG", "image/png"),
            ("gif", "GIF", "image/gif"),
            ("webp", "WEBP", "image/webp"),
            ("avif", "AVIF", "image/avif"),
        ],
    )
    def test_the_extension_is_the_format(
        self, server: DaemonProcess, photo: str, extension: str, format: str, media_type: str
    ) -> None:
        for name in ("w20", "full_size"):
            found = get(server, f"{photo}/{name}.{extension}")
            assert opened(found).format == format
            assert found.headers["content-type"] == media_type
            assert "vary" not in found.headers

    def test_quality_makes_more_or_fewer_bytes(self, server: DaemonProcess, photo: str) -> None:
        for extension in ("jpg", "webp", "avif"):
            low, default, high = (
                len(get(server, f"{photo}/full_size{quality}.{extension}").body)
                for quality in ("-q5", "", "-q100")
            )
            assert low < default < high

    def test_the_default_quality_is_that_of_the_configuration(
        self, server: DaemonProcess, photo: str
    ) -> None:
        assert get(server, f"{photo}/w60-q75.jpg").body == get(server, f"{photo}/w60.jpg").body

    @pytest.mark.parametrize(
        "name",
        [
            "w0.jpg",
            "w050.jpg",
            "w-5.jpg",
            "w5.5.jpg",
            "w.jpg",
            "W50.jpg",
            "w50",
            "w50.",
            "50.jpg",
            "50x.jpg",
            "x.jpg",
            "x0.jpg",
            "0x50.jpg",
            "50X50.jpg",
            "w50-q0.jpg",
            "w50-q101.jpg",
            "w50-q075.jpg",
            "w50-q.jpg",
            "w50-Q50.jpg",
            "w50q50.jpg",
            "fullsize.jpg",
            "full_size",
            "FULL_SIZE.jpg",
            "w50.jpg.png",
            "w50.jpg~",
            "w50.jpg%20",
            "%20w50.jpg",
            "w%EF%BC%95%EF%BC%90.jpg",
            "w%D9%A5.jpg",
            "w50.jpg/w20.jpg",
            "w50.jpg/",
            "w50.jpg/info.json",
            "w50%2ejpg%00",
            "info",
            "original",
            "w1e2.jpg",
            "w+5.jpg",
            "w50.abcdefghijklmnopq",
        ],
    )
    def test_any_other_name_is_404_or_malformed(
        self, server: DaemonProcess, photo: str, name: str
    ) -> None:
        check_error(get(server, f"{photo}/{name}"), 400 if "%00" in name else 404)

    @pytest.mark.parametrize(
        "name",
        [
            "w1001.jpg",
            "x1001.jpg",
            "1001x10.jpg",
            "10x1001.jpg",
            "w999999999.jpg",
            "w10.bmp",
            "w10.tif",
            "w10.svg",
            "w10.php",
            "w10.a",
            "w50.JPG",
            "w9999999999.jpg",
        ],
    )
    def test_what_is_too_large_or_of_no_such_format_is_406(
        self, server: DaemonProcess, photo: str, name: str
    ) -> None:
        check_error(get(server, f"{photo}/{name}"), 406)

    def test_the_configuration_bounds_both_sides_and_names_the_extensions(
        self, tmp_path: Path
    ) -> None:
        with running(
            tmp_path,
            with_options({"maximum_width": 50, "extensions": "jpg, webp", "default_quality": 20}),
        ) as daemon:
            daemon.proxy.store_image(text(encoded(gradient(100, 100), "PNG")), "a.png")
            for name in ("w50.jpg", "x50.webp", "50x50.jpg", "full_size.jpg"):
                assert get(daemon, f"/a.png/{name}").status == 200
            for name in (
                "w51.jpg",
                "x51.webp",
                "51x50.jpg",
                "50x51.jpg",
                "w50.png",
                "w50.jpeg",
                "full_size.gif",
            ):
                check_error(get(daemon, f"/a.png/{name}"), 406)
            assert get(daemon, "/a.png/w50-q20.jpg").body == get(daemon, "/a.png/w50.jpg").body
            assert opened(get(daemon, "/a.png/w50.auto", Accept=AVIF_AND_WEBP)).format == "WEBP"

    def test_only_the_outputs_that_the_configuration_names_are_rendered(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with running(tmp_path, with_options({"outputs": "w10.jpg, x20.auto"})) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg")
            daemon.proxy.store_image(text(picture), "b/w30.jpg")
            for path in ("a.jpg/w10.jpg", "a.jpg/x20.auto", "b/w30.jpg", "a.jpg/info.json"):
                assert get(daemon, f"/{path}").status == 200
            for name in (
                "w11.jpg",
                "w10.png",
                "w10-q75.jpg",
                "x20.jpg",
                "full_size.jpg",
                "w2000.jpg",
            ):
                check_error(get(daemon, f"/a.jpg/{name}"), 404)


class SourceTests:
    """Of which image a rendition is made, and what becomes of what is special about it."""

    def test_an_image_may_be_stored_at_the_path_or_as_its_original(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a")
        server.proxy.store_image(text(picture), f"{folder}/b/original")
        found = [get(server, f"/{folder}/{path}/w20.jpg") for path in ("a", "b", "b/original")]
        assert {(one.status, one.body, one.headers["etag"]) for one in found} == {
            (200, found[0].body, found[0].headers["etag"])
        }
        assert opened(found[0]).size == (20, 15)
        check_error(get(server, f"/{folder}/b/original/original/w20.jpg"), 404)
        check_error(get(server, f"/{folder}/w20.jpg"), 404)

    def test_a_stored_path_wins_over_a_rendition_of_the_same_name(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        path = f"/{folder}/w20.jpg"
        server.proxy.store_image(text(picture), f"{folder}/original")
        rendered = get(server, path)
        assert opened(rendered).size == (20, 15)
        server.proxy.store_image(text(picture), path)
        stored = get(
            server,
            path,
            If_None_Match=rendered.headers["etag"],
            If_Modified_Since=rendered.headers["last-modified"],
        )
        assert stored.body == picture
        server.proxy.delete_image(path)
        again = get(
            server,
            path,
            If_None_Match=stored.headers["etag"],
            If_Modified_Since=stored.headers["last-modified"],
        )
        assert (again.status, again.body) == (200, rendered.body)

    def test_a_name_of_any_alphabet(self, server: DaemonProcess, picture: bytes) -> None:
        server.proxy.store_image(text(picture), "日本/é %41?.jpg")
        assert opened(get(server, quote("/日本/é %41?.jpg") + "/w20.jpg")).size == (20, 15)
        assert opened(get(server, quote("/日本/é %41?.jpg") + "/%7720%2ejpg")).size == (20, 15)

    def test_transparency_stays_where_the_format_has_it_and_is_white_elsewhere(
        self, server: DaemonProcess, glass: str
    ) -> None:
        for extension in ("png", "webp", "avif", "gif"):
            image = opened(get(server, f"{glass}/w20.{extension}")).convert("RGBA")
            assert image.getpixel((2, 10))[3] == 0  # type: ignore[index]
            assert image.getpixel((17, 10))[3] == 255  # type: ignore[index]
        left, right = (
            opened(get(server, f"{glass}/w20-q100.jpg")).getpixel((x, 10)) for x in (2, 17)
        )
        assert min(left) > 245  # type: ignore[arg-type]
        assert right[0] > 240  # type: ignore[index]
        assert max(right[1:]) < 40  # type: ignore[index]

    def test_an_animation_stays_one_where_the_format_can(
        self, server: DaemonProcess, film: str
    ) -> None:
        frames = {
            extension: getattr(opened(get(server, f"{film}/w20.{extension}")), "n_frames", 1)
            for extension in ("gif", "webp", "png", "jpg", "avif")
        }
        assert frames == {"gif": 3, "webp": 3, "png": 1, "jpg": 1, "avif": 1}
        assert (
            difference(opened(get(server, f"{film}/w20.png")), Image.new("RGB", (20, 15), "red"))
            < 4
        )

    def test_a_picture_is_turned_as_its_camera_says(
        self, server: DaemonProcess, folder: str
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        server.proxy.store_image(
            text(encoded(gradient(60, 30), "JPEG", exif=exif)), f"{folder}/a.jpg"
        )
        turned = opened(get(server, f"/{folder}/a.jpg/w15.png"))
        assert turned.size == (15, 30)
        assert difference(turned, gradient(60, 30).rotate(-90, expand=True).resize((15, 30))) < 6
        assert 0x0112 not in turned.getexif()

    @pytest.mark.parametrize("format", ["PNG", "JPEG"])
    def test_what_is_broken_is_stored_as_it_is_and_422_again_and_again(
        self, server: DaemonProcess, folder: str, format: str
    ) -> None:
        whole = encoded(gradient(200, 200), format)
        broken = whole[: len(whole) * 2 // 3]
        server.proxy.store_image(text(broken), f"{folder}/a")
        assert get(server, f"/{folder}/a").body == broken
        for _ in range(3):
            check_error(get(server, f"/{folder}/a/w20.jpg"), 422)

    def test_what_the_format_cannot_hold_is_422(self, server: DaemonProcess, folder: str) -> None:
        # a WebP has 16 383 pixels a side at most
        wide = encoded(Image.new("L", (20_000, 2)), "PNG")
        server.proxy.store_image(text(wide), f"{folder}/b.png")
        check_error(get(server, f"/{folder}/b.png/full_size.webp"), 422)
        assert opened(get(server, f"/{folder}/b.png/w100.webp")).size == (100, 1)

    def test_an_image_with_more_pixels_than_are_allowed_now_is_422(self, tmp_path: Path) -> None:
        with running(tmp_path, with_options()) as daemon:
            daemon.proxy.store_image(text(flat_png(3000, 3000)), "a.png")
            assert daemon.stop() == 0
        with running(tmp_path, with_options(max_pixels=1_000_000)) as daemon:
            check_error(get(daemon, "/a.png/w20.jpg"), 422)
            assert get(daemon, "/a.png").status == 200


class AutoTests:
    """The format of an `.auto` is chosen for the client, and every cache is told so."""

    @pytest.mark.parametrize(
        ("accept", "format"),
        [
            (None, "JPEG"),
            ("", "JPEG"),
            ("*/*", "JPEG"),
            ("image/*", "JPEG"),
            ("image/png", "JPEG"),
            ("text/html", "JPEG"),
            (AVIF_AND_WEBP, "AVIF"),
            ("image/webp,*/*", "WEBP"),
            ("image/webp", "WEBP"),
            ("IMAGE/AVIF", "AVIF"),
            ("image/avif;q=0, image/webp", "WEBP"),
            ("image/avif;q=0.1, image/webp;q=0.9", "WEBP"),
            ("image/avif;q=0,image/webp;q=0.000", "JPEG"),
            ("image/webpx, ximage/avif, image / avif", "JPEG"),
            (",;,;q=1,image/webp;q=nonsense," * 100, "WEBP"),
            ("\xff\xfe", "JPEG"),
        ],
    )
    def test_avif_and_webp_are_for_those_who_name_them(
        self, server: DaemonProcess, photo: str, accept: str | None, format: str
    ) -> None:
        found = get(server, f"{photo}/w20.auto", **({} if accept is None else {"Accept": accept}))
        assert opened(found).format == format
        assert found.headers["content-type"] == f"image/{format.lower()}"
        assert found.headers["vary"] == "Accept"
        same = get(server, f"{photo}/w20.{format.lower()}")
        assert (same.body, same.headers["etag"]) == (found.body, found.headers["etag"])

    def test_headers_in_several_lines_are_one_list(self, server: DaemonProcess, photo: str) -> None:
        with connected(server) as client:
            client.sendall(
                f"GET {photo}/w20.auto HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nAccept:"
                " image/webp\r\nConnection: close\r\n\r\n".encode()
            )
            assert answer(b"".join(received(client))).headers["content-type"] == "image/webp"

    def test_transparency_is_png_for_those_who_name_neither(
        self, server: DaemonProcess, glass: str
    ) -> None:
        assert opened(get(server, f"{glass}/w20.auto")).format == "PNG"
        assert opened(get(server, f"{glass}/w20.auto", Accept="image/webp")).format == "WEBP"

    def test_an_animation_is_what_keeps_it_one(self, server: DaemonProcess, film: str) -> None:
        image = opened(get(server, f"{film}/w20.auto", Accept=AVIF_AND_WEBP))
        assert (image.format, getattr(image, "n_frames", 1)) == ("WEBP", 3)
        assert opened(get(server, f"{film}/w20.auto", Accept="image/avif")).format == "AVIF"
        assert opened(get(server, f"{film}/w20.auto")).format in ("JPEG", "PNG")

    def test_every_answer_says_that_it_varies(self, server: DaemonProcess, photo: str) -> None:
        found = get(server, f"{photo}/w21.auto", Accept="image/webp")
        etag = found.headers["etag"]
        for answered, expected in (
            (get(server, f"{photo}/w21.auto", Accept="image/webp", If_None_Match=etag), 304),
            (get(server, f"{photo}/w21.auto", Accept="image/avif", If_None_Match=etag), 200),
            (get(server, f"{photo}/w21.auto", Accept="image/webp", Range="bytes=0-4"), 206),
            (get(server, f"{photo}/w21.auto", Accept="image/webp", Range="bytes=999999-"), 416),
            (get(server, f"{photo}/w21.auto", Accept="image/webp", If_Match='"x"'), 412),
            (request(server.http_url, f"{photo}/w21.auto", "HEAD", Accept="image/webp"), 200),
        ):
            assert (answered.status, answered.headers["vary"]) == (expected, "Accept")

    def test_a_stored_file_of_that_name_does_not_vary(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/w20.auto")
        found = get(server, f"/{folder}/w20.auto", Accept="image/webp")
        assert (found.body, "vary" in found.headers) == (picture, False)


class AnswerTests:
    def test_the_etag_is_the_hash_of_the_bytes_for_every_client(
        self, server: DaemonProcess, photo: str
    ) -> None:
        found = [get(server, f"{photo}/w33.jpg") for _ in range(3)]
        assert {one.headers["etag"] for one in found} == {
            f'"{hashlib.sha256(found[0].body).hexdigest()}"'
        }
        for header, value in (
            ("accept-ranges", "bytes"),
            ("x-content-type-options", "nosniff"),
            ("content-length", str(len(found[0].body))),
        ):
            assert found[0].headers[header] == value
        assert "must-revalidate" in found[0].headers["cache-control"]

    def test_head_says_what_get_says(self, server: DaemonProcess, photo: str) -> None:
        head, full = (
            request(server.http_url, f"{photo}/w34.jpg", method) for method in ("HEAD", "GET")
        )
        assert {**head.headers, "date": ""} == {**full.headers, "date": ""}
        assert (head.body, len(full.body)) == (b"", int(head.headers["content-length"]))

    def test_a_client_that_has_it_gets_304(self, server: DaemonProcess, photo: str) -> None:
        found = get(server, f"{photo}/w35.jpg")
        again = get(server, f"{photo}/w35.jpg", If_None_Match=found.headers["etag"])
        assert (again.status, again.body, again.headers["etag"]) == (
            304,
            b"",
            found.headers["etag"],
        )
        assert get(server, f"{photo}/w36.jpg", If_None_Match=found.headers["etag"]).status == 200

    def test_a_date_alone_does_not_make_it_304(self, server: DaemonProcess, photo: str) -> None:
        found = get(server, f"{photo}/w35.jpg")
        assert (
            get(server, f"{photo}/w35.jpg", If_Modified_Since=found.headers["last-modified"]).body
            == found.body
        )
        assert (
            get(
                server,
                f"{photo}/w35.jpg",
                If_Range=found.headers["last-modified"],
                Range="bytes=0-1",
            ).body
            == found.body
        )

    def test_a_large_one_comes_whole_and_in_parts(self, server: DaemonProcess, folder: str) -> None:
        server.proxy.store_image(text(noise(400, 400)), f"{folder}/a.png")
        path = f"/{folder}/a.png/full_size.png"
        with ThreadPoolExecutor(2) as both:  # the one that makes it, and the one that waits for it
            whole, waited = (
                future.result() for future in [both.submit(get, server, path) for _ in range(2)]
            )
        assert difference(opened(whole), Image.open(io.BytesIO(noise(400, 400)))) == 0
        assert waited.body == whole.body
        assert len(whole.body) > 400_000
        for first, last in ((0, 0), (65_530, 65_540), (100_000, 399_999), (70_000, 10_000_000)):
            part = get(server, path, Range=f"bytes={first}-{last}", If_Range=whole.headers["etag"])
            assert (part.status, part.body) == (206, whole.body[first : last + 1])
        assert get(server, path, Range="bytes=10000000-").status == 416


class SignatureTests:
    """With `secrets`, nobody makes the server render without one of them."""

    SECRETS = ("first key", "second-kéy")
    FUTURE = "99999999999"

    @pytest.fixture(scope="class")
    @staticmethod
    def signed(tmp_path_factory: pytest.TempPathFactory, picture: bytes) -> Iterator[DaemonProcess]:
        """A server that wants signatures."""
        with running(
            tmp_path_factory.mktemp("signed"), with_options({"secrets": '"first key", second-kéy'})
        ) as daemon:
            for path in ("a.jpg", "é ü%/b?.jpg", "c/original"):
                daemon.proxy.store_image(text(picture), path)
            yield daemon

    @pytest.mark.parametrize(
        "path",
        [
            "/a.jpg/w20.jpg",
            "/%C3%A9%20%c3%bc%25/b%3f.jpg/w20.jpg",
            "/c/x20.webp",
            "/%61.jpg/full_size-q5.auto",
            "//./a.jpg/w21.jpg",
        ],
    )
    def test_the_right_one_is_let_in(self, signed: DaemonProcess, path: str) -> None:
        for key in self.SECRETS:
            for expires in ("", self.FUTURE):
                for answered in (
                    get(signed, sign(path, key, expires)),
                    request(signed.http_url, sign(path, key, expires), "HEAD"),
                ):
                    assert answered.status == 200

    def test_the_form_of_the_query_does_not_count(self, signed: DaemonProcess) -> None:
        signature = hmac.new(b"first key", b"/a.jpg/w20.jpg\n5000000000", "sha256").hexdigest()
        for query in (
            "signature={}&expires=5000000000",
            "x=1&expires=5000000000&signature={}&y",
            "%65xpires=500000000%30&signature={}",
        ):
            assert get(signed, "/a.jpg/w20.jpg?" + query.format(signature)).status == 200
        assert (
            get(signed, f"/a.jpg/w20.jpg?expires=5000000000&signature={signature.upper()}").status
            == 200
        )

    def test_none_is_401_and_says_how(self, signed: DaemonProcess) -> None:
        for path in (
            "/a.jpg/w20.jpg",
            "/a.jpg/w20.jpg?signature=",
            "/a.jpg/w20.jpg?expires=99999999999",
            "/nothing/w20.jpg",
            "/a.jpg/w9999.jpg",
        ):
            found = get(signed, path)
            check_error(found, 401)
            assert found.headers["www-authenticate"].startswith("Signature ")

    def test_a_wrong_one_is_403(self, signed: DaemonProcess) -> None:
        right = sign("/a.jpg/w20.jpg", "first key", self.FUTURE)
        plain = sign("/a.jpg/w20.jpg", "first key")
        for path in (
            sign("/a.jpg/w20.jpg", "first  key"),
            sign("/a.jpg/w20.jpg", ""),
            right.replace("w20", "w21"),
            right.replace("/a.jpg", "/c"),
            right.replace("/a.jpg", "///a.jpg"),
            right.replace(self.FUTURE, "99999999998"),
            right.replace(f"expires={self.FUTURE}&", ""),
            right[:-1],
            right + "0",
            plain + "&expires=99999999999",
            "/a.jpg/w20.jpg?signature=" + quote("é"),
            "/a.jpg/w20.jpg?signature=0",
            "/a.jpg/w20.jpg?signature=" + "0" * 64,
            sign("/a.jpg/w20.jpg", "first key", "soon"),
            sign("/a.jpg/w20.jpg", "first key", "-1"),
            sign("/a.jpg/w20.jpg", "first key", "٩" * 11),
            sign("/a.jpg/w20.jpg", "first key", "9" * 400),
        ):
            check_error(get(signed, path), 403)

    def test_an_expired_one_is_403(self, signed: DaemonProcess) -> None:
        for expires in ("1", "0", "1700000000"):
            found = get(signed, sign("/a.jpg/w20.jpg", "first key", expires))
            check_error(found, 403)
            assert "expired" in found.json["error"]

    def test_two_are_malformed(self, signed: DaemonProcess) -> None:
        right = sign("/a.jpg/w20.jpg", "first key")
        check_error(get(signed, right + "&signature=0"), 400)
        check_error(get(signed, right + "&expires=1&expires=2"), 400)
        check_error(get(signed, "/a.jpg/w20.jpg?signature=%ff"), 400)

    def test_it_lets_in_and_no_more(self, signed: DaemonProcess) -> None:
        for path, expected in (
            ("/nothing/w20.jpg", 404),
            ("/a.jpg/w1001.jpg", 406),
            ("/a.jpg/w20.bmp", 406),
        ):
            check_error(get(signed, sign(path, "first key")), expected)

    def test_what_is_stored_needs_none(self, signed: DaemonProcess, picture: bytes) -> None:
        assert get(signed, "/a.jpg").body == picture
        assert get(signed, "/c/original").body == picture
        assert get(signed, "/a.jpg/info.json").status == 200
        check_error(get(signed, "/a.jpg/w20"), 404)

    def test_no_secret_and_no_signature_is_in_the_log(self, signed: DaemonProcess) -> None:
        get(signed, sign("/a.jpg/w20.jpg", "first key"))
        get(signed, "/last")
        signed.wait_for_line("/last")
        assert not any(
            word in line for line in signed.log for word in ("first key", "second-k", "signature=")
        )

    def test_keys_are_changed_without_a_moment_at_which_urls_fail(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        urls = {key: sign("/a.jpg/w20.jpg", key) for key in ("old", "new", "newest")}
        expected = {
            "old": [200, 403, 403],
            "old, new": [200, 200, 403],
            "new, newest": [403, 200, 200],
        }
        for secrets, statuses in expected.items():
            with running(tmp_path, with_options({"secrets": secrets})) as daemon:
                daemon.proxy.store_image(text(picture), "a.jpg")
                assert [get(daemon, url).status for url in urls.values()] == statuses
                assert daemon.stop() == 0


class QueueTests:
    """Equal requests are one job; a full queue is said so at once."""

    def test_a_full_queue_is_429_and_what_it_took_is_done(
        self,
        held: DaemonProcess,
        turnstile: SteppedConvert,
        clients: ThreadPoolExecutor,
        picture: bytes,
    ) -> None:
        first = clients.submit(get, held, "/a.jpg/w20.jpg")
        turnstile.wait_for_arrival()
        for _ in range(3):
            refused = get(held, "/a.jpg/w21.jpg")
            check_error(refused, 429)
            assert int(refused.headers["retry-after"]) >= 1
        assert get(held, "/a.jpg").body == picture
        assert status(held)["images_being_processed"] == 1
        equal = [clients.submit(get, held, "/a.jpg/w20.jpg") for _ in range(4)]
        turnstile.let_through(9)
        bodies = {future.result().body for future in [first, *equal]}
        assert len(bodies) == 1
        assert opened(first.result()).size == (20, 15)
        assert renders(held) == 1
        assert get(held, "/a.jpg/w21.jpg").status == 200

    def test_a_thousand_gets_of_a_new_rendition_render_it_once(
        self, server: DaemonProcess, folder: str
    ) -> None:
        server.proxy.store_image(text(noise(300, 200)), f"{folder}/a.png")
        before = renders(server)
        found = crowd(server, f"/{folder}/a.png/w250.png")
        assert renders(server) - before == 1
        assert [one.status for one in found] == [200] * CROWD
        assert len({(one.body, one.headers["etag"]) for one in found}) == 1
        assert opened(found[0]).size == (250, 167)
        eventually(lambda: not open_cached(server), lambda: str(open_cached(server)))

    def test_a_thousand_gets_of_an_unrenderable_image_are_all_answered(
        self, server: DaemonProcess, folder: str
    ) -> None:
        server.proxy.store_image(text(noise(300, 200)[:-1000]), f"{folder}/a.png")
        found = crowd(server, f"/{folder}/a.png/w250.png")
        for one in found:
            check_error(one, 422)

    def test_stores_get_through_while_renditions_fill_their_queue(
        self,
        held: DaemonProcess,
        turnstile: SteppedConvert,
        clients: ThreadPoolExecutor,
        picture: bytes,
    ) -> None:
        first = clients.submit(get, held, "/a.jpg/w20.jpg")
        turnstile.wait_for_arrival()
        check_error(get(held, "/a.jpg/w21.jpg"), 429)
        stored = clients.submit(held.proxy.store_image, text(picture), "b.jpg", "jpg", [10, 10])
        eventually(lambda: status(held)["queue"]["stores"]["waiting"] == 1)
        turnstile.let_through(2)
        assert first.result().status == 200
        assert stored.result() == "OK"

    def test_what_timed_out_is_not_rendered_again_for_each_get(
        self, tmp_path: Path, turnstile: SteppedConvert, picture: bytes
    ) -> None:
        options = with_options(engine="imagemagick", io_threads=1, timeout=1)
        with running(tmp_path, options | {"imagemagick": {"convert": turnstile.convert}}) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg")
            bodies = {
                get(daemon, path).body
                for path in ("/a.jpg/w20.jpg", "/a.jpg/w20.jpg", "/a.jpg/w20-q75.jpg")
            }
            assert b"took longer than 1 s" in bodies.pop()
            assert (len(bodies), turnstile.renders) == (0, 1)
            turnstile.let_through(9)
            assert get(daemon, "/a.jpg/w21.jpg").status == 200
            check_error(get(daemon, "/a.jpg/w20.jpg"), 422)
            daemon.reload()
            assert get(daemon, "/a.jpg/w20.jpg").status == 200

    def test_clients_that_leave_do_not_cost_the_others_the_picture(
        self, held: DaemonProcess, turnstile: SteppedConvert, clients: ThreadPoolExecutor
    ) -> None:
        with connected(held) as leaving:
            leaving.sendall(b"GET /a.jpg/w20.jpg HTTP/1.1\r\nHost: x\r\n\r\n")
            turnstile.wait_for_arrival()
            staying = clients.submit(get, held, "/a.jpg/w20.jpg")
            get(held, "/healthz")
        turnstile.let_through(9)
        assert opened(staying.result()).size == (20, 15)
        held.wait_for_line("client disconnected")
        eventually(lambda: not open_cached(held), lambda: str(open_cached(held)))


class ChangeTests:
    """Once a call has returned, no GET gets the old picture."""

    def test_after_an_overwrite_a_move_and_a_delete_the_next_get_knows(
        self, server: DaemonProcess, folder: str
    ) -> None:
        proxy, url = server.proxy, f"/{folder}/a.png/w8.png"
        for round in range(5):
            for colour in ((200, 0, round), (0, 0, 200 + round)):
                proxy.store_image(
                    text(encoded(Image.new("RGB", (16, 16), colour), "PNG")), f"{folder}/a.png"
                )
                assert opened(get(server, url)).convert("RGB").getpixel((4, 4)) == colour
            proxy.move_image(f"{folder}/a.png", f"{folder}/b.png")
            check_error(get(server, url), 404)
            assert (
                opened(get(server, f"/{folder}/b.png/w8.png")).convert("RGB").getpixel((4, 4))
                == colour
            )
            proxy.delete_image(f"{folder}/b.png")
            check_error(get(server, f"/{folder}/b.png/w8.png"), 404)

    def test_also_while_others_ask_for_it_all_the_time(
        self, server: DaemonProcess, folder: str, clients: ThreadPoolExecutor
    ) -> None:
        url, done, written = f"/{folder}/a.png/w8.png", threading.Event(), [0]

        def store(number: int) -> None:
            server.proxy.store_image(
                text(encoded(Image.new("RGB", (16, 16), (number, 0, 0)), "PNG")), f"{folder}/a.png"
            )
            written[0] = number

        def read() -> int:
            count = 0
            while not done.is_set():
                at_least = written[0]
                pixel: Any = opened(get(server, url)).convert("RGB").getpixel((4, 4))
                assert pixel[0] >= at_least
                count += 1
            return count

        store(1)
        readers = [clients.submit(read) for _ in range(4)]
        for number in range(2, 40):
            store(number)
        done.set()
        assert all(reader.result() for reader in readers)

    def test_a_new_picture_does_not_wait_for_the_old_one(
        self, tmp_path: Path, turnstile: SteppedConvert, clients: ThreadPoolExecutor
    ) -> None:
        options = with_options(engine="imagemagick", io_threads=2) | {
            "imagemagick": {"convert": turnstile.convert}
        }
        old, new = (
            encoded(Image.new("RGB", (16, 16), colour), "PNG") for colour in ("red", "blue")
        )
        with running(tmp_path, options) as daemon:
            daemon.proxy.store_image(text(old), "a.png")
            reader = clients.submit(get, daemon, "/a.png/w8.png")
            turnstile.wait_for_arrival()
            assert daemon.proxy.store_image(text(new), "a.png") == "OK"
            other = clients.submit(get, daemon, "/a.png/w8.png")
            turnstile.wait_for_arrival()
            turnstile.let_through(9)
            assert opened(other.result()).convert("RGB").getpixel((4, 4)) == (0, 0, 255)
            assert opened(reader.result()).convert("RGB").getpixel((4, 4)) == (255, 0, 0)
            assert opened(get(daemon, "/a.png/w8.png")).convert("RGB").getpixel((4, 4)) == (
                0,
                0,
                255,
            )

    def test_what_was_made_of_an_image_goes_from_the_disk_with_it(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        images = [encoded(gradient(40 + 10 * number, 40), "PNG") for number in range(3)]
        for number, image in enumerate(images):
            server.proxy.store_image(text(image), f"{folder}/{number}.png")
        made = [
            get(server, f"/{folder}/{number}.png/{name}").body
            for number in range(3)
            for name in ("w30.png", "x20.jpg")
        ]
        assert all(cached_bytes(server, rendition) for rendition in made)
        server.proxy.delete_image(f"{folder}/0.png")
        server.proxy.store_image(text(picture), f"{folder}/1.png")
        eventually(
            lambda: not any(cached_bytes(server, rendition) for rendition in made[:4]),
            lambda: "still on the disk",
        )
        assert all(cached_bytes(server, rendition) for rendition in made[4:])

    def test_what_is_made_of_an_image_that_is_deleted_meanwhile_does_not_stay(
        self, held: DaemonProcess, turnstile: SteppedConvert, clients: ThreadPoolExecutor
    ) -> None:
        reader = clients.submit(get, held, "/a.jpg/w20.jpg")
        turnstile.wait_for_arrival()
        assert held.proxy.delete_image("a.jpg") == "OK"
        check_error(get(held, "/a.jpg/w20.jpg"), 404)
        turnstile.let_through(9)
        assert reader.result().status in (200, 404)
        check_error(get(held, "/a.jpg/w20.jpg"), 404)
        eventually(lambda: not cached_files(held), lambda: str(cached_files(held)))


class CacheTests:
    def test_the_cache_stays_within_its_bound(self, tmp_path: Path) -> None:
        bound = 200 << 10
        with running(tmp_path, with_options({"cache_size": "200 KiB"})) as daemon:
            daemon.proxy.store_image(text(noise(100, 100)), "a.png")
            bodies: dict[int, bytes] = {}
            for width in [*range(60, 100), 60]:
                found = get(daemon, f"/a.png/w{width}.png")
                assert opened(found).width == width
                assert bodies.setdefault(width, found.body) == found.body
                assert sum(file.stat().st_blocks * 512 for file in cached_files(daemon)) <= bound
            cache = status(daemon)["cache"]
            assert 0 < cache["bytes"] <= cache["bytes_max"] == bound
            assert cache["evictions"] > 10
            # also of those whose key was known, which are looked up twice
            assert cache["misses"] == renders(daemon)
            assert (
                cache["files"] == len(cached_files(daemon)) == renders(daemon) - cache["evictions"]
            )
            before = renders(daemon)
            assert get(daemon, "/a.png/w99.png").body == bodies[99]  # used last but one
            assert renders(daemon) == before

    def test_what_does_not_fit_is_sent_all_the_same(self, tmp_path: Path) -> None:
        with running(tmp_path, with_options({"cache_size": "8 KiB"})) as daemon:
            daemon.proxy.store_image(text(noise(400, 400)), "a.png")
            for _ in range(2):
                assert opened(get(daemon, "/a.png/full_size.png")).size == (400, 400)
            assert not cached_files(daemon)

    def test_without_a_cache_everything_is_rendered_when_it_is_asked_for(
        self, tmp_path: Path
    ) -> None:
        with running(tmp_path, with_options({"cache_size": 0})) as daemon:
            daemon.proxy.store_image(text(noise(300, 300)), "a.png")
            bodies = {get(daemon, "/a.png/w250.png").body for _ in range(3)}
            assert len(bodies) == 1
            assert renders(daemon) == 3
            assert (status(daemon)["cache"]["files"], cached_files(daemon)) == (0, [])
            eventually(lambda: not open_cached(daemon), lambda: str(open_cached(daemon)))

    @pytest.mark.parametrize("end", ["stop", "kill"])
    def test_renditions_survive(self, tmp_path: Path, picture: bytes, end: str) -> None:
        names = ("w20.jpg", "x10.webp", "full_size.auto")
        with running(tmp_path, with_options()) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg")
            daemon.proxy.store_image(text(picture + b"more"), "b.jpg")
            before = [
                get(daemon, f"/{path}/{name}") for path in ("a.jpg", "b.jpg") for name in names
            ]
            daemon.stop() if end == "stop" else daemon.kill()
        with running(tmp_path, with_options()) as daemon:
            after = [
                get(daemon, f"/{path}/{name}") for path in ("a.jpg", "b.jpg") for name in names
            ]
            assert [(one.status, one.body, one.headers["etag"]) for one in after] == [
                (200, one.body, one.headers["etag"]) for one in before
            ]
            assert (renders(daemon), status(daemon)["cache"]["files"]) == (0, 6)

    def test_one_whose_bytes_were_changed_on_disk_is_rendered_again(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with running(tmp_path, with_options()) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg")
            good = get(daemon, "/a.jpg/w20.jpg").body
            daemon.kill()
        [file] = cached_files(daemon)
        file.write_bytes(good[:-1] + b"?")
        with running(tmp_path, with_options()) as daemon:
            assert get(daemon, "/a.jpg/w20.jpg").body == good
            assert renders(daemon) == 1

    def test_other_settings_make_other_renditions(self, tmp_path: Path) -> None:
        first = None
        for quality in (20, 90):
            with running(tmp_path, with_options({"default_quality": quality})) as daemon:
                daemon.proxy.store_image(text(encoded(gradient(90, 90), "PNG")), "a.png")
                found = get(
                    daemon,
                    "/a.png/w80.jpg",
                    **({"If_Modified_Since": first.headers["last-modified"]} if first else {}),
                )
                assert found.status == 200
                assert found.body == get(daemon, f"/a.png/w80-q{quality}.jpg").body
                assert first is None or found.body != first.body
                first = found
                assert daemon.stop() == 0


def check_error(found: Response, expected: int) -> None:
    """An error is a short JSON object that nobody keeps."""
    assert found.status == expected, found
    assert (found.headers["content-type"], found.headers["x-content-type-options"]) == (
        "application/json",
        "nosniff",
    )
    assert found.headers["cache-control"] == "no-store"
    assert list(found.json) == ["error"]
    assert 0 < len(found.json["error"]) < 300


def sign(path: str, key: str, expires: str = "") -> str:
    """A signed URL, from what the manual says of it."""
    signature = hmac.new(key.encode(), f"{unquote(path)}\n{expires}".encode(), "sha256").hexdigest()
    return (
        f"{path}?expires={quote(expires)}&signature={signature}"
        if expires
        else f"{path}?signature={signature}"
    )


def noise(width: int, height: int) -> bytes:
    """A PNG that cannot be packed."""
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return encoded(Image.fromarray(values), "PNG")


def flat_png(width: int, height: int) -> bytes:
    """A white PNG, small whatever its size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = zlib.compress((b"\0" + b"\xff" * width) * height)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def crowd(server: DaemonProcess, path: str) -> list[Response]:
    """What a crowd gets that asks for one thing at once."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    said = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        clients: list[socket.socket] = [
            stack.enter_context(connected(server)) for _ in range(CROWD)
        ]
        for client in clients:
            client.sendall(said)
        return [answer(b"".join(received(client))) for client in clients]


def cached_files(daemon: DaemonProcess) -> list[Path]:
    """The renditions that are kept on the disk."""
    return [
        file for file in (daemon.images / ".imagepipe" / "cache").glob("*/*/*") if file.is_file()
    ]


def cached_bytes(daemon: DaemonProcess, rendition: bytes) -> bool:
    """Whether these bytes are in the cache's folder."""
    for file in cached_files(daemon):
        with contextlib.suppress(FileNotFoundError):
            if file.read_bytes() == rendition:
                return True
    return False


def open_cached(daemon: DaemonProcess) -> list[str]:
    """The renditions that the daemon has open, with a name or without."""
    found = []
    for entry in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return [
        name
        for name in found
        if "/.imagepipe/" in name and not name.endswith((".sqlite", "-wal", "-shm", "/lock"))
    ]
