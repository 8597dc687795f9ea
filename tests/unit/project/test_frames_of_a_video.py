import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from PIL import Image, ImageFilter

from cli.main import main
from scenestyle.errors import InputError
from scenestyle.project.scenes import Wishes, is_taken_in, take_in
from scenestyle.project.video import inspect_video, sharpness, write_stills
from tests.support.captures import video as make_video
from tests.support.toy_project import PARAMS

FPS, PER_PART, PARTS = 8, 8, 5


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds, in each of which only one frame, the `part + 1`-th, is not blurred; it is brighter, too."""
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    noise = np.random.default_rng(0).integers(0, 120, (96, 128, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for index in range(PER_PART * PARTS):
            picture = Image.fromarray(np.roll(noise, index, axis=1))
            if index % PER_PART == 1 + index // PER_PART:
                picture = Image.fromarray(np.roll(noise, index, axis=1) + 100)
            else:
                picture = picture.filter(ImageFilter.GaussianBlur(3))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def test_of_each_part_the_sharpest_frame_is_taken(video: Path, tmp_path: Path) -> None:
    write_stills(video, tmp_path, count=PARTS)
    stills = sorted(tmp_path.iterdir())
    assert [still.name for still in stills] == [f"frame_{n:04d}.jpg" for n in range(PARTS)]
    for still in stills:
        assert np.asarray(Image.open(still)).mean() > 130
        assert Image.open(still).size == (128, 96)


def test_blur_lowers_sharpness() -> None:
    picture = Image.effect_noise((64, 48), 60)
    values = [
        sharpness(np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))))
        for radius in (0, 1, 2)
    ]
    assert values == sorted(values, reverse=True)
    assert sharpness(np.full((8, 8), 7, dtype=np.uint8)) == 0


def test_a_video_says_its_size_and_length(video: Path) -> None:
    found = inspect_video(video)
    assert (found.width, found.height) == (128, 96)
    assert found.seconds == pytest.approx(PARTS, abs=0.2)


@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_what_is_no_video_is_said(content: bytes | None, video: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(video.read_bytes()[:400] if content is None else content)
    with pytest.raises(InputError, match=r"x\.mp4"):
        take_in(path, tmp_path / "scene")
    assert not (tmp_path / "scene").exists()


def test_a_video_without_pictures_is_named(tmp_path: Path) -> None:
    silence = np.zeros((1, 8000), dtype=np.int16)
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(silence, layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with av.open(str(tmp_path / "empty.avi"), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    for name in ("sound.mkv", "empty.avi"):
        with pytest.raises(InputError, match=f"{name} holds no pictures"):
            inspect_video(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_damaged_video_is_named(name: str, tmp_path: Path) -> None:
    """Of one the pictures are gone, of the other where they lie, too."""
    path = make_video(tmp_path / name, TIMES[:20], options={"movflags": "faststart"})
    raw = path.read_bytes()
    begin = raw.index(b"mdat") + 4 if name == "a.mp4" else 800
    noise = np.random.default_rng(0).bytes(len(raw) - begin)
    path.write_bytes(raw[:begin] + noise)
    with pytest.raises(InputError, match=rf"{name} is damaged \(invalid data.*export it again"):
        inspect_video(path)


def test_too_few_frames_between_start_and_stop_are_counted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", TIMES[:10])
    with pytest.raises(InputError, match="has 2 frames there and gave 2 pictures; at least 3"):
        take_in(path, tmp_path / "scene", Wishes(start=0.0, stop=0.2))


def test_a_scene_is_added_from_a_video(
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    main(["add-scene", "fern", str(video), "--caption", "a fern", "--num-stills", "4"])
    assert len(list((tmp_path / "data/scenes/fern").iterdir())) == 4
    assert "4 pictures of 128x96 pixels" in capsys.readouterr().out
    assert "fern" in yaml.safe_load((tmp_path / "params.yaml").read_text())["scenes"]


def test_a_capture_is_taken_in_again_only_if_it_changed(video: Path, tmp_path: Path) -> None:
    photos, target = tmp_path / "photos", tmp_path / "scene"
    photos.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(photos / f"{number}.png")
    (photos / "notes.txt").touch()
    assert not is_taken_in(photos, target)
    take_in(photos, target)
    assert is_taken_in(photos, target)
    Image.new("RGB", (9, 9)).save(photos / "2.png")
    assert not is_taken_in(photos, target)
    take_in(photos, target)
    (photos / "1.png").unlink()
    Image.new("RGB", (8, 8), "blue").save(photos / "3.png")
    assert not is_taken_in(photos, target)
    take_in(photos, target)
    assert sorted(path.name for path in target.iterdir()) == ["0.png", "2.png", "3.png"]
    assert not is_taken_in(video, target)
    take_in(video, target)
    assert is_taken_in(video, target)
    os.utime(video)
    assert not is_taken_in(video, target)


TIMES = [index / 10 for index in range(100)]
CLOCKS = {
    "from zero": ("a.mp4", TIMES),
    "transport stream": ("a.ts", [1.6 + time for time in TIMES]),
    "an hour late": ("a.mp4", [3600 + time for time in TIMES]),
    "late, in Matroska": ("a.mkv", [3 + time for time in TIMES]),
    "with a long pause": ("a.mp4", [time + 60 * (time >= 5) for time in TIMES]),
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_stills_are_spread_over_the_frames_whatever_the_clock_says(
    clock: str, tmp_path: Path
) -> None:
    name, times = CLOCKS[clock]
    path = make_video(tmp_path / name, times)
    (tmp_path / "out").mkdir()
    write_stills(path, tmp_path / "out", count=20)
    assert len(list((tmp_path / "out").iterdir())) == 20


def test_a_recording_that_does_not_know_its_length_is_read(tmp_path: Path) -> None:
    path = make_video(tmp_path / "live.webm", TIMES[:20], options={"live": "1"}, codec="libvpx")
    assert inspect_video(path).seconds == pytest.approx(2, abs=0.2)
    write_stills(path, tmp_path, count=5)
    assert len(list(tmp_path.glob("*.jpg"))) == 5


def test_only_the_wanted_seconds_are_used(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", [1.6 + time for time in TIMES])
    found = inspect_video(path, start=2.0, stop=4.0)
    assert len(found.times) == 20
    for name, start, stop in (("some", 2.0, 4.0), ("all", 0.0, None)):
        (tmp_path / name).mkdir()
        count = 20 if stop else 100
        write_stills(path, tmp_path / name, count=count, start=start, stop=stop)
    # Every frame of the whole video is a still; those of the seconds are among them.
    for number in range(20):
        some, whole = (
            np.asarray(Image.open(tmp_path / name / f"frame_{index:04d}.jpg")).astype(int)
            for name, index in (("some", number), ("all", 20 + number))
        )
        assert abs(some - whole).mean() < 1
    with pytest.raises(InputError, match=r"10\.0 seconds long and has no frame from second 11"):
        inspect_video(path, start=11.0)


def test_pixels_that_are_not_square_become_square(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", TIMES[:10], pixel_aspect=Fraction(4, 3))
    found = inspect_video(path)
    assert (found.width, found.height) == (85, 48)
    write_stills(path, tmp_path, count=3)
    assert {Image.open(still).size for still in tmp_path.glob("*.jpg")} == {(85, 48)}


QUARTERS = {
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}
"""how far a player turns the frames to the right -> the matrix in the file's head"""


def phone_video(path: Path, turn: int, *, hdr: bool) -> None:
    """As phones record: frames as the sensor lies, how to turn them in the head, an uneven clock.

    Shown upright the frames are blue on the left and, below, grey.
    """
    upright = np.zeros((96, 64, 3), np.uint8)
    upright[:, :32] = (20, 40, 200)
    upright[64:] = 128
    codec, pixels = ("libx265", "yuv420p10le") if hdr else ("libx264", "yuv420p")
    colours = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
    options = {"x265-params": f"log-level=none:{colours}"} if hdr else {"crf": "10"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = np.rot90(upright, turn // 90).shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 600)
        for time in np.cumsum([20, 10, 30, 20, 20, 40, 10, 20, 20, 25]):
            upright[:4] = time  # no frame is like another
            lying = np.ascontiguousarray(np.rot90(upright, turn // 90))
            frame = av.VideoFrame.from_ndarray(lying).reformat(format=pixels)
            frame.pts, frame.time_base = int(time), Fraction(1, 600)
            if hdr:
                frame.color_trc, frame.colorspace, frame.color_primaries = 18, 9, 9
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    raw = bytearray(path.read_bytes())
    head = raw.index(b"tkhd") + 4
    a, b, c, d = (value << 16 for value in QUARTERS[turn])
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    raw[head + 40 : head + 76] = matrix
    path.write_bytes(raw)


@pytest.mark.parametrize("hdr", [False, True])
@pytest.mark.parametrize("turn", QUARTERS)
def test_stills_of_a_phone_stand_upright(tmp_path: Path, turn: int, hdr: bool) -> None:
    phone_video(tmp_path / "IMG_0001.MOV", turn, hdr=hdr)
    found = take_in(tmp_path / "IMG_0001.MOV", tmp_path / "scene", Wishes(num_stills=4))
    assert {photo.size for photo in found.photos} == {(64, 96)}
    assert any("HLG" in phrase for phrase in found.changed) == hdr
    for photo in found.photos:
        pixels = np.asarray(Image.open(photo.path)).astype(int)
        blue, black, grey = pixels[30, 12], pixels[30, 52], pixels[84, 32]
        assert blue[2] > 150 > blue[0] + 60
        assert black.max() < 40
        assert np.ptp(grey) < 12
        assert 60 < grey.mean() < 220


def test_too_few_stills_are_not_blamed_on_the_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", TIMES[:10])
    with pytest.raises(InputError, match="2 stills are asked for; at least 3"):
        take_in(path, tmp_path / "scene", Wishes(num_stills=2))
