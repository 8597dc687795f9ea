"""Frames of HDR video as photos: HLG and PQ, BT.2020, tone-mapped to sRGB."""

import numpy as np
from jaxtyping import Float, UInt8, UInt16

_TRANSFERS = {16: "PQ", 18: "HLG"}
"""numbers of ITU-T H.273, table 3"""
_REFERENCE_WHITE = 203.0  # nits of a white sheet in HLG and PQ, BT.2408
_HLG_PEAK = 1000.0  # nits of the reference display, BT.2100
_KNEE = 0.75
_SRGB_FROM_BT2020 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ]
)
"""linear colours, BT.2087"""
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593])


def transfer_of(number: int | None) -> str | None:
    """`HLG` or `PQ` where a stream's transfer characteristics are those of HDR, else none."""
    return None if number is None else _TRANSFERS.get(int(number))


def yuv_to_srgb(
    yuv: UInt16[np.ndarray, "height width 3"], transfer: str, *, full_range: bool = False
) -> UInt8[np.ndarray, "height width 3"]:
    """Turn a frame of HDR video into an 8-bit sRGB image.

    Light is kept up to three quarters of reference white and rolls off above it, colour for colour
    in proportion, so that highlights keep their hue.

    Args:
        yuv: BT.2020 with non-constant luminance, in 16 bits.
        transfer: `HLG` or `PQ`.
        full_range: Whether black is 0; otherwise it is 16/256 of the range, as in most video.
    """
    signal = np.clip(_rgb_signal(yuv.astype(np.float64), full_range=full_range), 0, 1)
    nits = _hlg_light(signal) if transfer == "HLG" else _pq_light(signal)
    linear = np.clip(_rolled_off(nits / _REFERENCE_WHITE) @ _SRGB_FROM_BT2020.T, 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(coded * 255).astype(np.uint8)


def _rgb_signal(yuv: np.ndarray, *, full_range: bool) -> np.ndarray:
    black, white, swing = (0, 65535, 65535) if full_range else (16 * 256, 235 * 256, 224 * 256)
    luma = (yuv[..., 0] - black) / (white - black)
    blue, red = ((yuv[..., channel] - 32768) / swing for channel in (1, 2))
    r, b = luma + 1.4746 * red, luma + 1.8814 * blue
    g = (luma - _LUMINANCE[0] * r - _LUMINANCE[2] * b) / _LUMINANCE[1]
    return np.stack([r, g, b], axis=-1)


def _hlg_light(signal: Float[np.ndarray, "*pixels 3"]) -> Float[np.ndarray, "*pixels 3"]:
    """BT.2100, table 5: inverse OETF, then the OOTF of a display of 1000 nits."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = (scene @ _LUMINANCE)[..., None]
    return _HLG_PEAK * luminance**0.2 * scene


def _pq_light(signal: Float[np.ndarray, "*pixels 3"]) -> Float[np.ndarray, "*pixels 3"]:
    """BT.2100, table 4: the EOTF, nits."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def _rolled_off(light: Float[np.ndarray, "*pixels 3"]) -> Float[np.ndarray, "*pixels 3"]:
    brightest = light.max(axis=-1, keepdims=True)
    above = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    wanted = np.where(brightest > _KNEE, _KNEE + (1 - _KNEE) * -np.expm1(-above), brightest)
    return light * np.divide(wanted, brightest, out=np.ones_like(wanted), where=brightest > 0)
