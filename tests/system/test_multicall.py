"""Several calls in one request, at the XML-RPC boundary of a real daemon."""

import xmlrpc.client
from typing import Any

from PIL import Image

from tests.support.cluster import eventually
from tests.support.daemon_process import DaemonProcess, fault_of, text
from tests.support.gradients import encoded


class MulticallTests:
    def test_images_are_stored_and_each_call_has_its_own_answer(
        self, daemon: DaemonProcess, folder: str
    ) -> None:
        large = [
            encoded(Image.effect_noise((300 + 10 * number, 300), 90).convert("RGB"), "PNG")
            for number in range(3)
        ]
        calls = xmlrpc.client.MultiCall(daemon.proxy)
        for number, image in enumerate(large):
            calls.store_image(text(image) if number else image, f"{folder}/{number}.png")
        calls.store_image(large[0], f"{folder}/a.php")
        calls.image_info(f"{folder}/2.png")
        calls.list_images(folder)
        answers: Any = calls()
        assert [answers[at] for at in range(3)] == ["OK", "OK", "OK"]
        assert fault_of(lambda: answers[3]).faultString.startswith("[1000] path: ")
        assert answers[4]["size"] == len(large[2])
        assert answers[5] == [f"{folder}/{number}.png" for number in range(3)]
        for number, image in enumerate(large):
            assert (daemon.images / folder / f"{number}.png").read_bytes() == image

        lines = [
            f"call {number + 1} of 6: 'store_image' '{folder}/{number}.png', 1 outputs, waited "
            for number in range(3)
        ]
        for line in (*lines, "POST 'system.multicall' 6 calls, 1 failed"):
            eventually(
                lambda line=line: (  # type: ignore[misc]
                    any(line in logged for logged in daemon.log)
                ),
                lambda line=line: line,  # type: ignore[misc]
            )

    def test_what_it_may_not_do_is_a_fault(self, daemon: DaemonProcess) -> None:
        many = [{"methodName": "list_images", "params": []}] * 101
        assert fault_of(daemon.proxy.system.multicall, many).faultString.startswith(
            "[1000] calls: has 101 calls"
        )
        answers: Any = daemon.proxy.system.multicall(
            [
                {"methodName": "system.multicall", "params": [[]]},
                {"methodName": "no.such", "params": []},
                {"methodName": "delete_image", "params": []},
            ]
        )
        assert [answer["faultCode"] for answer in answers] == [1000, 8001, 8002]

    def test_a_name_that_no_method_has_is_not_repeated_at_length(
        self, daemon: DaemonProcess
    ) -> None:
        wrong: tuple[Any, ...] = ("x" * 100_000, 5, None, ["a"], {})
        for name in wrong:
            fault = fault_of(daemon.proxy.system.methodHelp, name)
            assert fault.faultCode == 8001
            assert len(fault.faultString) < 200
