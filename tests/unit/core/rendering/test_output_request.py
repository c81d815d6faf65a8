"""What one output of a rendering should be: the defaults that callers rely on."""

from imagepipe.core.rendering.output_request import Method, OutputRequest


class OutputRequestTests:
    """One image to render."""

    def test_it_is_resized_in_the_quality_of_the_settings_unless_it_says_otherwise(self) -> None:
        request = OutputRequest("a.jpg", None, None)
        assert (request.method, request.quality) == (Method.RESIZE, None)
