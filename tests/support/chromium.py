"""A real browser without a window, for tests of the status page: headless Chromium, driven by
Selenium.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.daemon_process import PATIENCE_SECONDS


class Page:
    """What is open in the browser."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def go(self, url: str) -> None:
        """Open a page."""
        self._driver.get(url)

    @property
    def text(self) -> str:
        """All that can be read on it."""
        return str(self.run("return document.body.innerText"))

    @property
    def title(self) -> str:
        """The title of its window."""
        return str(self._driver.title)

    def run(self, script: str) -> Any:
        """What a script returns that runs in the page."""
        return self._driver.execute_script(script)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; AssertionError with the page's text if it does not."""
        try:
            WebDriverWait(self._driver, PATIENCE_SECONDS, 0.05).until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(self.text) from None

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked: errors of scripts, and what the policy
        of the page has forbidden.
        """
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The URLs that the page has asked for."""
        return list(
            self.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        )

    def resize(self, width: int, height: int) -> None:
        """Be seen through a window of this size, in CSS pixels; narrower than a real window can be
        made.
        """
        self._command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """Prefer `light` or `dark`."""
        self._command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def picture(self) -> str:
        """All of it as a PNG, in base64."""
        width, height = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        # Without a clip, the width is less what a scrollbar would take.
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        return str(
            self._command(
                "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
            )["data"]
        )

    def _command(self, name: str, **arguments: object) -> Any:
        return self._driver.execute_cdp_cmd(name, arguments)


@contextlib.contextmanager
def opened(*arguments: str) -> Iterator[Page]:
    """A browser with an empty page, gone at the end."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert browser, "chromium is missing: `make test` installs it"
    assert driver, "chromedriver is missing: `make test` installs chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        *arguments,
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    process = webdriver.Chrome(options, Service(driver))
    try:
        yield Page(process)
    finally:
        process.quit()
