"""Colours that a few codes or numbers describe."""

import pytest

from imagepipe.core.rendering.colourimetry import (
    PEAK_NITS,
    REFERENCE_WHITE_NITS,
    SRGB_PRIMARIES,
    Colourimetry,
    Primaries,
    Transfer,
    by_codes,
    by_gamma,
    light,
)

P3: Primaries = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)


class CodesTests:
    """H.273's codes."""

    @pytest.mark.parametrize(
        ("primaries", "transfer"),
        [(1, 13), (1, 1), (2, 2), (0, 0), (1, 6), (255, 99), (10, 13), (1, 14)],
    )
    def test_srgb_and_what_says_nothing_is_srgb(self, primaries: int, transfer: int) -> None:
        assert by_codes(primaries, transfer) is None

    def test_display_p3(self) -> None:
        assert by_codes(12, 13) == Colourimetry(P3, Transfer.SRGB)
        assert by_codes(12, 2) == Colourimetry(P3, Transfer.SRGB)

    @pytest.mark.parametrize(
        ("code", "transfer", "gamma"),
        [(4, Transfer.GAMMA, 2.2), (8, Transfer.GAMMA, 1.0), (16, Transfer.PQ, 1.0)],
    )
    def test_a_transfer_by_itself(self, code: int, transfer: Transfer, gamma: float) -> None:
        assert by_codes(1, code) == Colourimetry(SRGB_PRIMARIES, transfer, gamma)


class GammaTests:
    """gAMA and cHRM of PNG."""

    @pytest.mark.parametrize("gamma", [45_455, 45_000, 47_000, 0, 1, 9_999, 1_000_001, 2**32 - 1])
    def test_srgbs_gamma_and_impossible_ones_are_srgb(self, gamma: int) -> None:
        assert by_gamma(gamma, None) is None

    def test_a_gamma_by_itself_has_the_primaries_of_srgb(self) -> None:
        assert by_gamma(100_000, None) == Colourimetry(SRGB_PRIMARIES, Transfer.GAMMA, 1.0)
        assert by_gamma(50_000, None) == Colourimetry(SRGB_PRIMARIES, Transfer.GAMMA, 2.0)

    def test_other_primaries_count_with_the_usual_gamma_too(self) -> None:
        assert by_gamma(45_455, P3) == Colourimetry(P3, Transfer.SRGB)
        assert by_gamma(50_000, P3) == Colourimetry(P3, Transfer.GAMMA, 2.0)

    def test_primaries_rounded_by_their_writer_are_srgbs(self) -> None:
        rounded: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.31270, 0.32900)
        assert by_gamma(45_455, rounded) is None
        assert by_gamma(50_000, rounded) == Colourimetry(SRGB_PRIMARIES, Transfer.GAMMA, 2.0)

    @pytest.mark.parametrize(
        "primaries",
        [
            (0.0,) * 8,
            (0.64, 0.33, 0.64, 0.33, 0.15, 0.06, 0.3127, 0.3290),
            (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.1, 0.8),
            (0.64, 0.33, 0.30, 0.60, 0.15, 42949.0, 0.3127, 0.3290),
            (0.64, 0.33, 0.30, 0.90, 0.15, 0.06, 0.3127, 0.3290),
        ],
        ids=["zero", "two alike", "white outside", "huge", "no colour"],
    )
    def test_impossible_primaries_are_srgbs(self, primaries: Primaries) -> None:
        assert by_gamma(45_455, primaries) is None

    def test_primaries_in_another_order_are_possible(self) -> None:
        swapped: Primaries = (0.30, 0.60, 0.64, 0.33, 0.15, 0.06, 0.3127, 0.3290)
        assert by_gamma(45_455, swapped) == Colourimetry(swapped, Transfer.SRGB)


class LightTests:
    """How much light a value is."""

    @pytest.mark.parametrize("transfer", Transfer)
    def test_it_rises_from_none_to_all(self, transfer: Transfer) -> None:
        values = [light(Colourimetry(SRGB_PRIMARIES, transfer, 2.2), n / 1000) for n in range(1001)]
        assert values == sorted(values)
        assert values[0] == pytest.approx(0, abs=1e-9)
        assert values[-1] == pytest.approx(1, abs=1e-4)

    def test_srgb(self) -> None:
        srgb = Colourimetry(SRGB_PRIMARIES, Transfer.SRGB)
        assert light(srgb, 0.5) == pytest.approx(0.2140, abs=1e-4)
        assert light(srgb, 0.04) == pytest.approx(0.0031, abs=1e-4)

    def test_gamma(self) -> None:
        assert light(Colourimetry(SRGB_PRIMARIES, Transfer.GAMMA, 2.0), 0.5) == 0.25

    @pytest.mark.parametrize(
        ("transfer", "value", "nits"),
        [(Transfer.PQ, 0.508078, 100), (Transfer.PQ, 0.3, 10.05), (Transfer.HLG, 0.5, 50.7)],
    )
    def test_dim_light_of_hdr_is_left_as_it_is(
        self, transfer: Transfer, value: float, nits: float
    ) -> None:
        assert light(Colourimetry(SRGB_PRIMARIES, transfer), value) == pytest.approx(
            nits / REFERENCE_WHITE_NITS, rel=1e-2
        )

    @pytest.mark.parametrize(("transfer", "value"), [(Transfer.PQ, 0.5807), (Transfer.HLG, 0.75)])
    def test_the_white_of_a_page_stays_nearly_white(self, transfer: Transfer, value: float) -> None:
        assert 0.85 < light(Colourimetry(SRGB_PRIMARIES, transfer), value) < 0.9

    def test_what_is_brighter_than_the_peak_is_white(self) -> None:
        assert PEAK_NITS > REFERENCE_WHITE_NITS
        assert light(Colourimetry(SRGB_PRIMARIES, Transfer.PQ), 0.9) == 1.0
