"""`imagepipe check-config`, `keygen`, `adopt`, `sign` and `completion`: what needs no daemon, as a
daemon then sees it.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from imagepipe.config import load
from imagepipe.core.requests.signing import sign
from imagepipe.errors import ConfigError
from tests.support.command_line import PROGRAM, Terminal, environment, run
from tests.support.daemon_process import DaemonProcess, running
from tests.support.http_client import request


class CheckConfigTests:
    def test_a_good_file_is_good(self, tmp_path: Path) -> None:
        (tmp_path / "imagepipe.ini").write_text(
            "[network]\ninterface = 127.0.0.1\n[images]\npath = images\n"
        )
        assert run("check-config", cwd=tmp_path).out == "imagepipe.ini is valid\n"
        both: list[tuple[list[str | Path], dict[str, str]]] = [
            (["-c", tmp_path / "imagepipe.ini"], {}),
            ([], {"IMAGEPIPE_CONFIG": str(tmp_path / "imagepipe.ini")}),
        ]
        for arguments, variables in both:
            assert (
                run(*arguments, "check-config", env=variables).out
                == f"{tmp_path}/imagepipe.ini is valid\n"
            )
        assert not (tmp_path / "images").exists()

    def test_every_problem_is_reported_in_the_words_of_the_daemon(self, tmp_path: Path) -> None:
        daemon = DaemonProcess(tmp_path, {"network": {"prot": 1, "max_request": "much"}})
        with pytest.raises(ConfigError) as error:
            load(daemon.config)
        done = run("check-config", "-c", daemon.config)
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines() == [
            f"imagepipe: {problem}" for problem in error.value.problems
        ]
        daemon.launch()
        assert daemon.wait() == 1
        assert all(problem in "".join(daemon.log) for problem in error.value.problems)

    def test_so_are_the_files_that_it_names(self, tmp_path: Path) -> None:
        (tmp_path / "keys").mkdir()
        daemon = DaemonProcess(
            tmp_path, {"replication": {"keys": "keys", "subscribe": "north@tcp://127.0.0.1:1"}}
        )
        done = run("check-config", "-c", daemon.config)
        assert done.status == 1
        assert "there is no key file" in done.err

    def test_what_may_surprise_is_a_warning(self, tmp_path: Path) -> None:
        done = run(
            "check-config",
            "-c",
            DaemonProcess(tmp_path, {"network": {"interface": "0.0.0.0"}}).config,
        )
        assert done.status == 0
        assert "anyone who can reach it can store" in done.err

    @pytest.mark.parametrize(
        ("endpoint", "is_warned_about"),
        [
            ("tcp:0", True),
            ("haproxy:tcp6:0", True),
            ("unix:socket", False),
            ("systemd:domain=INET:index=0", False),
        ],
    )
    def test_so_is_an_endpoint_that_anyone_can_reach(
        self, tmp_path: Path, endpoint: str, is_warned_about: bool
    ) -> None:
        done = run(
            "check-config",
            "-c",
            DaemonProcess(tmp_path, {"network": {"endpoint": endpoint}}).config,
        )
        assert ("anyone who can reach it can store" in done.err) == is_warned_about

    def test_no_file_is_a_problem_like_any_other(self, tmp_path: Path) -> None:
        done = run("check-config", "-c", tmp_path / "nothing.ini")
        assert done.status == 1
        assert done.err.startswith("imagepipe: there is no file ")


class KeygenTests:
    def test_keys_are_made_that_a_daemon_takes_and_never_twice(self, tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        assert run("keygen", keys).status == 0
        assert {file.name for file in keys.iterdir()} == {
            "server.key",
            "server.key_secret",
            "authorized",
        }
        secret = (keys / "server.key_secret").read_bytes()
        again = run("keygen", keys)
        assert again.status == 1
        assert "already exists" in again.err
        assert (keys / "server.key_secret").read_bytes() == secret
        assert (
            run(
                "check-config",
                "-c",
                DaemonProcess(tmp_path, {"replication": {"keys": "keys"}}).config,
            ).status
            == 0
        )


class AdoptTests:
    def test_a_tree_becomes_a_stores_and_a_daemon_serves_it(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        daemon = DaemonProcess(tmp_path)
        (daemon.images / "a").mkdir(parents=True)
        (daemon.images / "a" / "b.jpg").write_bytes(picture)
        (daemon.images / "a" / "c.txt").write_text("no picture")
        dry = run("adopt", "-c", daemon.config, "--dry-run")
        assert "1 would be adopted" in dry.err
        assert not (daemon.images / ".imagepipe").exists()
        done = run("adopt", "-c", daemon.config)
        assert done.status == 0
        assert [row[0] for row in done.rows] == ["a/c.txt"]
        assert "1 adopted" in done.err
        assert json.loads(run("adopt", "-c", daemon.config, "--json").out)["already"] == 1
        (daemon.images / "a" / "c.txt").unlink()
        with running(tmp_path) as daemon:
            assert daemon.proxy.list_images() == ["a/b.jpg"]
            refused = run("adopt", "-c", daemon.config)
        assert (refused.status, len(refused.err.splitlines())) == (1, 1)

    def test_on_a_terminal_there_is_a_bar(self, tmp_path: Path, picture: bytes) -> None:
        daemon = DaemonProcess(tmp_path)
        daemon.images.mkdir()
        (daemon.images / "b.jpg").write_bytes(picture)
        with Terminal("adopt", "-c", daemon.config) as terminal:
            status, seen = terminal.end()
        assert status == 0
        assert "adopt" in seen
        assert "/s" in seen

    def test_a_folder_that_is_not_there_is_a_line(self, tmp_path: Path) -> None:
        done = run("adopt", "-c", DaemonProcess(tmp_path).config)
        assert done.status == 1
        assert "nothing to adopt" in done.err


class SignTests:
    def test_a_signed_url_is_answered(self, tmp_path: Path, picture: bytes) -> None:
        with running(
            tmp_path, {"http": {"interface": "127.0.0.1", "port": 0, "secrets": "first, second"}}
        ) as daemon:
            daemon.proxy.store_image(picture, "a b/ä.jpg")
            url = f"{daemon.http_url.rstrip('/')}/a%20b/%C3%A4.jpg/w20.jpg"
            for arguments in ([], ["--expires", "1 h"]):
                signed = run("sign", url, "-c", daemon.config, *arguments).out.strip()
                assert signed.startswith(url + "?")
                assert (
                    request(
                        daemon.http_url, signed.removeprefix(daemon.http_url.rstrip("/"))
                    ).status
                    == 200
                )
            expired = run("sign", url, "-c", daemon.config, "--expires", "@1000").out.strip()
            assert (
                request(daemon.http_url, expired.removeprefix(daemon.http_url.rstrip("/"))).status
                == 403
            )

    def test_a_key_in_a_file_signs_a_path_and_the_rest_of_the_query_is_kept(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "key").write_text("wee-secret\n")
        done = run(
            "sign",
            "/cats/1/w500.jpg?a=1&signature=old&expires=7",
            "--secret-file",
            tmp_path / "key",
            "--expires",
            "@4102444800",
        )
        signature = sign("wee-secret", "/cats/1/w500.jpg", "4102444800")
        assert done.out == f"/cats/1/w500.jpg?a=1&expires=4102444800&signature={signature}\n"

    @pytest.mark.parametrize(
        ("url", "encoded", "path"),
        [
            ("/Käse & Brot/w5.jpg", "/K%C3%A4se%20&%20Brot/w5.jpg", "/Käse & Brot/w5.jpg"),
            (
                "/a%20b/ä.jpg/w5.jpg?x=ö y",
                "/a%20b/%C3%A4.jpg/w5.jpg?x=%C3%B6%20y",
                "/a b/ä.jpg/w5.jpg",
            ),
            ("/100%25/%23/w5.jpg", "/100%25/%23/w5.jpg", "/100%/#/w5.jpg"),
            (
                "http://bücher.example:80/ß/w5.jpg",
                "http://xn--bcher-kva.example:80/%C3%9F/w5.jpg",
                "/ß/w5.jpg",
            ),
            ('http://[::1]:80/"a"+b/w5.jpg', "http://[::1]:80/%22a%22+b/w5.jpg", '/"a"+b/w5.jpg'),
        ],
    )
    def test_what_a_url_cannot_carry_is_percent_encoded(
        self, tmp_path: Path, url: str, encoded: str, path: str
    ) -> None:
        (tmp_path / "key").write_text("wee-secret\n")
        printed = run("sign", url, "--secret-file", tmp_path / "key").out
        assert (
            printed
            == f"{encoded}{'&' if '?' in encoded else '?'}signature={sign('wee-secret', path)}\n"
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            ["cats/1"],
            ["http://[x/a"],
            ["/a", "--expires", "soon"],
            ["/%ff"],
            ["/a%2fb"],
            ["/100%"],
            ["/#1/w5.jpg"],
            ["/a\nb"],
            ["/../w5.jpg"],
        ],
        ids=repr,
    )
    def test_what_cannot_be_signed_is_wrong_usage(self, arguments: list[str]) -> None:
        assert run("sign", *arguments).status == 2

    def test_without_a_key_it_is_a_line(self, tmp_path: Path) -> None:
        assert (
            "no [http] secrets"
            in run("sign", "/a/w5.jpg", "-c", DaemonProcess(tmp_path).config).err
        )


class CompletionTests:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_every_shell_has_its_script(self, shell: str) -> None:
        done = run("completion", shell)
        assert done.status == 0
        assert "_IMAGEPIPE_COMPLETE" in done.out

    def test_without_a_shell_the_error_is_one_line_that_names_them(self) -> None:
        done = run("completion")
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert all(shell in done.err for shell in ("bash", "zsh", "fish"))
        assert "\\" not in done.err

    def test_bash_completes_commands_and_options_by_it(self, tmp_path: Path) -> None:
        bash = shutil.which("bash")
        assert bash
        script = tmp_path / "completion"
        script.write_text(run("completion", "bash").out)
        asked = (
            f"PATH={Path(PROGRAM).parent}:$PATH; source {script}; COMP_WORDS=(imagepipe st);"
            ' COMP_CWORD=1; _imagepipe_completion imagepipe; echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            [bash, "-c", asked], env=environment(), capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["store", "status"] or done.stdout.split() == [
            "status",
            "store",
        ]
