"""Lets `twistd imagepipe` find the daemon."""

from twisted.application.service import ServiceMaker

imagepipe = ServiceMaker(
    "imagepipe", "imagepipe.tap", "A high-availability image store.", "imagepipe"
)
