"""What a photo's header says, against Pillow, against the graph, and against bytes that were made to be slow."""

from __future__ import annotations

import io
import re
import struct
import time

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from proxy.header import Header, read_header
from scenery import contract, preprocess
from tests.photographs import bombs, encode, slow_photos
from tests.processes import PHOTOS

WIDTH, HEIGHT = 37, 23
EXIF = Image.Exif()
EXIF[0x0112] = 6  # to be turned by 90 degrees
EXIF[0x010E] = "x" * 60_000

STILLS = [
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"quality": 95, "subsampling": 0, "optimize": True}),
    ("JPEG", "RGB", {"restart_marker_rows": 1}),
    ("JPEG", "RGB", {"exif": EXIF, "comment": b"\xff\xc0" * 9, "icc_profile": b"x" * 200_000}),
    ("JPEG", "CMYK", {}),
    ("JPEG", "L", {}),
    ("MPO", "RGB", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {"exif": EXIF}),
    ("PNG", "I;16", {}),
    ("PNG", "LA", {}),
    ("PNG", "P", {"transparency": 0}),
    ("PNG", "1", {"optimize": True}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGBA", {}),
    ("WEBP", "RGBA", {"lossless": True, "exif": EXIF}),
    ("WEBP", "RGB", {"exif": EXIF, "icc_profile": b"profile"}),
    ("BMP", "RGB", {}),
    ("BMP", "RGBA", {}),
    ("BMP", "P", {}),
    ("BMP", "L", {}),
    ("BMP", "1", {}),
    ("GIF", "RGB", {}),
    ("GIF", "P", {"interlace": 1, "comment": b"a comment", "transparency": 0}),
    ("GIF", "L", {"interlace": 0}),
]
KINDS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "GIF": "gif"}


def still(kind: str, mode: str, options: dict) -> bytes:
    gradient = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    return encode(Image.new("I;16", gradient.size, 999) if mode == "I;16" else gradient.convert(mode), kind, **options)


def animation(kind: str, frames: int) -> bytes:
    pictures = [Image.new("RGB", (WIDTH, HEIGHT), (step * 83 % 256, step * 151 % 256, 99)) for step in range(frames)]
    return encode(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=40, loop=0)


def gif(*blocks: bytes, screen: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0, 0, 0) + b"".join(blocks)


def gif_frame(left: int, top: int, width: int, height: int, content: bytes = b"\2\x4c\1\0") -> bytes:
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\2" + content


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", len(content), name) + content + bytes(4)


SAMPLES = [still(*each) for each in STILLS] + [animation(kind, 3) for kind in ("PNG", "WEBP", "GIF")]


@pytest.mark.parametrize(("kind", "mode", "options"), STILLS)
def test_a_still_is_read_as_pillow_reads_it(kind, mode, options):
    """However a photo was saved, its header tells the size that the decoder finds; EXIF turns nothing."""
    photo = still(kind, mode, options)
    with Image.open(io.BytesIO(photo)) as opened:
        assert read_header(photo) == Header(KINDS[kind], *opened.size, 1) == Header(KINDS[kind], WIDTH, HEIGHT, 1)


def test_the_shipped_photos_are_read_as_pillow_reads_them():
    """Photos of many cameras and programs, thumbnails inside, tell their own size."""
    for path in sorted(PHOTOS.glob("*.jpg")):
        with Image.open(path) as opened:
            assert read_header(path.read_bytes()) == Header("jpeg", *opened.size, 1), path.name


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("frames", [2, 7, 300])
def test_frames_are_counted(kind, frames):
    """An animation has as many frames as Pillow finds, and no more than were to be counted."""
    photo = animation(kind, frames)
    with Image.open(io.BytesIO(photo)) as opened:
        assert read_header(photo) == Header(KINDS[kind], *opened.size, opened.n_frames)
    assert read_header(photo).frames == frames
    assert read_header(photo, stop_frames=5).frames == min(5, frames)


def test_a_thousand_long_frames_are_counted():
    """Frames of 15 MB, in sub-blocks of the sizes that encoders write, do not count as too many blocks."""
    for size in (255, 254):
        content = (bytes((size,)) + bytes(size)) * 58 + b"\5pixel\0"
        frame = b"\x21\xf9\4\0\0\0\0\0" + gif_frame(0, 0, WIDTH, HEIGHT, content)
        assert read_header(gif(frame * 1000, b";"), stop_frames=1001).frames == 1000


def test_a_gif_is_as_large_as_its_frames_reach():
    """A frame beside or beyond the screen is counted into the size, as Pillow does for the first."""
    first = gif(gif_frame(30, 5, 40, 10), b";")
    with Image.open(io.BytesIO(first)) as opened:
        assert (read_header(first).width, read_header(first).height) == opened.size == (70, HEIGHT)
    later = gif(gif_frame(0, 0, 9, 9), b"\x21\xfe\3abc\0", gif_frame(0, 60000, 9, 9), b";")
    assert read_header(later) == Header("gif", WIDTH, 60009, 2)


@pytest.mark.parametrize("height", [HEIGHT, -HEIGHT])
def test_a_bmp_may_be_stored_from_the_top(height):
    """A negative height is the same photo with its rows in the other order."""
    photo = bytearray(still("BMP", "RGB", {}))
    photo[22:26] = height.to_bytes(4, "little", signed=True)
    with Image.open(io.BytesIO(photo)) as opened:
        assert read_header(bytes(photo)) == Header("bmp", *opened.size, 1) == Header("bmp", WIDTH, HEIGHT, 1)


def test_a_bmp_of_the_first_generation():
    """The short header has sizes of two bytes."""
    pixels = bytes(4 * -(-WIDTH * 3 // 4) * HEIGHT)
    photo = b"BM" + struct.pack("<IHHIIHHHH", 26 + len(pixels), 0, 0, 26, 12, WIDTH, HEIGHT, 1, 24) + pixels
    with Image.open(io.BytesIO(photo)) as opened:
        assert read_header(photo) == Header("bmp", *opened.size, 1) == Header("bmp", WIDTH, HEIGHT, 1)


def test_fill_bytes_and_lone_markers_of_a_jpeg_are_passed_over():
    """What libjpeg skips between two segments is skipped."""
    photo = still("JPEG", "RGB", {})
    padded = photo[:2] + b"\xff" * 9 + b"\xff\x01\xff\xd3" + photo[2:]
    with Image.open(io.BytesIO(photo)) as opened:
        assert read_header(padded) == Header("jpeg", *opened.size, 1)


@pytest.mark.parametrize(
    "content", [b"", b"no photo", b"%PDF-1.7", b"\xff\xd8", b"RIFF\0\0\0\0WAVE", b"II*\0", bytes(99)]
)
def test_anything_else_is_no_photo(content):
    """Bytes of none of the five formats have no header."""
    assert read_header(content) is None


@pytest.mark.parametrize("photo", SAMPLES)
def test_a_photo_that_is_cut_off_has_its_size_or_none(photo):
    """However short the rest of a photo is, its format stays, and its size is the true one or missing."""
    whole = read_header(photo)
    for end in range(12, min(len(photo), 2000)):
        header = read_header(photo[:end])
        assert header.kind == whole.kind
        assert (header.width, header.height) in ((whole.width, whole.height), (0, 0))
        assert header.frames <= whole.frames
    assert read_header(photo[:12]).width == 0


@pytest.mark.parametrize("photo", bombs().values(), ids=bombs())
def test_bombs_are_seen_from_their_header(photo):
    """A photo that would unpack to hundreds of megabytes has more pixels than are allowed."""
    header = read_header(photo)
    assert header.width * header.height > contract.MAX_PIXELS


def test_slow_photos_are_read_quickly():
    """Photos that keep decoders busy tell their size, and a GIF of endless blocks has too many frames."""
    slow = slow_photos()
    assert read_header(slow["jpeg of many scans"]) == Header("jpeg", 2000, 2000, 1)
    assert read_header(slow["gif of many blocks"], stop_frames=77) == Header("gif", 16, 16, 77)


WHOLE = 16 * 2**20
_PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II5B", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
_WEBP = b"RIFF\0\0\0\1WEBPVP8X\x0a\0\0\0\2\0\0\0" + bytes((WIDTH - 1, 0, 0, HEIGHT - 1, 0, 0))
_COMMENT = b"\x21\xfe"
_LONG = b"\xfe" + bytes(254)
TOO_MANY = Header("gif", WIDTH, HEIGHT, 1000)
WORST = {
    "segments": (b"\xff\xd8", b"\xff\xe0\0\2", Header("jpeg", 0, 0, 1)),
    "lone markers": (b"\xff\xd8", b"\xff\x01", Header("jpeg", 0, 0, 1)),
    "fill bytes": (b"\xff\xd8", b"\xff", Header("jpeg", 0, 0, 1)),
    "junk": (b"\xff\xd8\xff\xe0\0\2", b"x", Header("jpeg", 0, 0, 1)),
    "png chunks": (_PNG, chunk(b"tEXt"), Header("png", WIDTH, HEIGHT, 1000)),
    "webp chunks": (_WEBP, b"ABCD\0\0\0\0", Header("webp", WIDTH, HEIGHT, 1000)),
    "webp frames": (_WEBP, b"ANMF\0\0\0\0", Header("webp", WIDTH, HEIGHT, 1000)),
    "sub-blocks of one byte": (gif(_COMMENT), b"\1x", TOO_MANY),
    "sub-blocks of two sizes": (gif(_COMMENT), b"\1x\2xx", TOO_MANY),
    "full sub-blocks": (gif(_COMMENT), b"\xff" + bytes(255), Header("gif", WIDTH, HEIGHT, 1)),
    "runs of two": (gif(_COMMENT), (_LONG * 2 + (b"\x80" + bytes(128)) * 2), TOO_MANY),
    "runs of nine": (gif(_COMMENT), _LONG * 9 + b"\1x", TOO_MANY),
    "empty comments": (gif(), _COMMENT + b"\0", TOO_MANY),
    "comments of two": (gif(), _COMMENT + _LONG * 2 + b"\0", TOO_MANY),
    "gif frames": (gif(), gif_frame(0, 0, 1, 1), TOO_MANY),
    "gif frames with comments": (gif(), gif_frame(0, 0, 1, 1) + (_COMMENT + _LONG * 2 + b"\0") * 4, TOO_MANY),
}


@pytest.mark.parametrize(("head", "unit", "expected"), WORST.values(), ids=WORST)
def test_no_file_takes_long(head, unit, expected):
    """The worst 16 MiB take less than the 20 ms in which a photo is refused, and are refused, or have no size."""
    photo = (head + unit * (WHOLE // len(unit)))[:WHOLE]
    seconds = []
    for _ in range(5):
        begun = time.thread_time()
        assert read_header(photo) == expected
        seconds.append(time.thread_time() - begun)
    assert min(seconds) < 0.02


@st.composite
def broken(draw: st.DrawFn, least: int = 0) -> bytes:
    """A photo with some bytes changed, cut out or put in, and perhaps cut off behind ``least`` bytes."""
    photo = bytearray(draw(st.sampled_from(SAMPLES)))
    places = st.integers(0, len(photo)) | st.integers(0, 64)
    for at in draw(st.lists(places, max_size=8)):
        photo[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(photo[: draw(st.just(len(photo)) | st.integers(least, max(least, len(photo))))])


@settings(max_examples=1000, deadline=None, database=None, derandomize=True)
@given(broken() | st.binary(max_size=64), st.integers(1, 1000))
def test_no_bytes_are_an_error(photo, stop_frames):
    """Whatever was done to a photo, its header is read without an error, and within its bounds."""
    header = read_header(photo, stop_frames)
    if header is not None:
        assert min(header.width, header.height) >= 0
        assert 1 <= header.frames <= stop_frames


@pytest.fixture(scope="module")
def refusal():
    """Let the graph read a photo of which it would take no pixel; returns what it says, or its decoder does."""
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.string, [])
        pixels = preprocess.decode(image, (8, 8), max_pixels=0)
    with tf.compat.v1.Session(graph=graph) as session:
        decode = session.make_callable(pixels, [image])

        def refuse(photo: bytes) -> str:
            with pytest.raises(tf.errors.InvalidArgumentError) as raised:
                decode(photo)
            return str(raised.value)

        yield refuse


def assert_agreement(said: str, header: Header | None) -> None:
    """The graph names the size that the header has, or the whole photo is refused for another reason."""
    size = re.search(r"the photo has (\d+) x (\d+) pixels", said)
    if header is None:
        assert f"refused: {contract.REFUSED_FORMAT}: the bytes are no JPEG" in said or contract.REFUSED_EMPTY in said
    elif header.width * header.height == 0:
        assert f"refused: {contract.REFUSED_DAMAGED}" in said or contract.REFUSED_FORMAT in said
    elif size and header.kind == "gif":  # the graph names the screen's size, and looks at the first frame later
        assert header.width >= int(size[1])
        assert header.height >= int(size[2])
    elif size:
        assert (header.width, header.height) == (int(size[1]), int(size[2]))
    else:
        assert "refused" in said


@pytest.mark.parametrize("photo", [*SAMPLES, *bombs().values(), *slow_photos().values()])
def test_the_graph_reads_the_same_size(refusal, photo):
    """The proxy and the model find the same size in the same photo."""
    assert_agreement(refusal(photo), read_header(photo))


@settings(
    max_examples=500,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(broken(least=40))
def test_the_graph_reads_the_same_size_in_broken_photos(refusal, photo):
    """Of a damaged photo, too, the graph never finds a size that the proxy did not find."""
    assert_agreement(refusal(photo), read_header(photo))
