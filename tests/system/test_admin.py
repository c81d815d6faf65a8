"""The methods for operators (docs/administration.md), at the XML-RPC boundary of a real daemon."""

import json

from daemon_process import DaemonProcess, fault_of


class IntrospectionTests:
    def test_the_methods_are_listed_beside_the_others_and_have_their_help(self, daemon: DaemonProcess) -> None:
        methods = daemon.proxy.system.listMethods()
        assert {"store_image", "admin.status"} <= set(methods)
        for name in methods:
            if name.startswith("admin."):
                assert daemon.proxy.system.methodHelp(name).startswith(name.removeprefix("admin.") + "(")
                assert daemon.proxy.system.methodSignature(name)

    def test_a_method_that_there_is_not_is_twisteds_fault(self, daemon: DaemonProcess) -> None:
        assert fault_of(daemon.proxy.admin.nothing).faultCode == 8001
        assert fault_of(daemon.proxy.admin.status, 1).faultCode == 8002


class StatusTests:
    def test_status_is_told_where_the_image_server_is_off(self, daemon: DaemonProcess) -> None:
        status = json.loads(daemon.proxy.admin.status())
        assert status["ready"] is True
        assert status["totals"]["images_stored"] >= 0
