"""The preprocessing graph, run in a Session as model servers run it."""

from __future__ import annotations

import io
import resource
from contextlib import closing, contextmanager

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from scenery import contract, preprocess
from tests.photographs import bombs, encode, slow_photos

SIZE = (224, 224)


@contextmanager
def decoder(size=SIZE, **options):
    """Decode photos in a Session: a list of bytes → uint8 [n, height, width, 3]."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.string, [None])
        pixels = preprocess.decode_batch(images, size, **options)
    with closing(tf.compat.v1.Session(graph=graph)) as session:
        yield session.make_callable(pixels, [images])


@pytest.fixture(scope="module")
def decode():
    """Decode photos as the network sees them where nothing else is configured."""
    with decoder() as decode:
        yield decode


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize(
    ("kind", "mode", "options", "tolerance"),
    [
        ("PNG", "RGB", {}, 1),
        ("PNG", "RGBA", {}, 1),
        ("BMP", "RGB", {}, 1),
        ("BMP", "RGBA", {}, 1),
        ("WEBP", "RGB", {"lossless": True}, 1),
        ("WEBP", "RGB", {"quality": 95}, 4),
        ("JPEG", "RGB", {"progressive": True, "quality": 95}, 4),
        ("JPEG", "CMYK", {"quality": 95}, 4),
        ("GIF", "RGB", {}, 5),
    ],
)
def test_every_format_gives_the_same_picture(decode, photo, kind, mode, options, tolerance):
    """A photo is seen alike in whichever format it comes."""
    image = Image.open(io.BytesIO(photo)).convert(mode)
    assert difference(decode([encode(image, kind, **options)])[0], decode([photo])[0]) < tolerance


def test_a_photo_is_centred_on_grey(decode):
    """A wide photo keeps its proportions, and is padded evenly with grey above and below."""
    (pixels,) = decode([encode(Image.new("RGB", (448, 224), (255, 0, 0)), "PNG")])
    assert (pixels[:56] == preprocess.GREY).all()
    assert (pixels[-56:] == preprocess.GREY).all()
    assert (pixels[56:-56] == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("factor", [1, 3, 9])
def test_a_photo_may_be_stretched(kind, factor):
    """Without padding a photo fills the network's input, wide or high, reduced on the way or not."""
    halves = Image.new("RGB", (120 * factor, 40 * factor), (200, 0, 0))
    halves.paste((0, 0, 200), (60 * factor, 0, 120 * factor, 40 * factor))
    with decoder((48, 32), pad_to_aspect_ratio=False) as decode:
        (pixels,) = decode([encode(halves, kind, quality=95)])
    assert np.abs(pixels[:, :15].astype(int) - (200, 0, 0)).max() < 6
    assert np.abs(pixels[:, 17:].astype(int) - (0, 0, 200)).max() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("factor", [1, 2, 3, 5, 9, 20])
def test_large_photos_are_reduced_to_the_same_picture(decode, kind, factor):
    """Reduced while decoding, a smooth picture comes out as from its small original."""
    ramp = np.linspace(0, 255, 224).astype(np.uint8)
    small = Image.fromarray(np.stack([np.tile(ramp, (224, 1))] * 3, -1))
    large = small.resize((224 * factor, 224 * factor), Image.Resampling.BICUBIC)
    assert difference(decode([encode(large, kind)])[0], decode([encode(small, kind)])[0]) < 1.5


def test_a_photo_of_one_pixel_and_a_line(decode):
    """Extreme shapes are fitted too."""
    decode([encode(Image.new("RGB", (1, 1)), "PNG"), encode(Image.new("RGB", (3000, 1)), "JPEG")])


def test_only_the_first_frame_of_a_gif_is_decoded(decode):
    """An animation is its first frame, and the frames behind it cost nothing."""
    frames = [Image.new("P", (3000, 3000), colour) for colour in range(1, 20)]
    gif = encode(Image.new("P", (3000, 3000)), "GIF", save_all=True, append_images=frames)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode([gif])
    grown_megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_megabytes < 19 * 9 / 2


@pytest.mark.parametrize(("name", "bomb"), bombs().items())
def test_bombs_are_refused_from_their_header(decode, name, bomb):
    """A decompression bomb is refused without growth of the process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"refused: (too-many-pixels|damaged): "):
        decode([bomb])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024, name


@pytest.mark.parametrize("photo", slow_photos().values(), ids=slow_photos().keys())
def test_photos_that_keep_a_decoder_busy_are_refused(decode, photo):
    """Work is bounded too: a file cannot ask for more passes or steps than honest ones need."""
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"refused: (unsupported-format|damaged): "):
        decode([photo])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", contract.REFUSED_EMPTY),
        (b"hello", contract.REFUSED_FORMAT),
        (b"\x00" * 5000, contract.REFUSED_FORMAT),
        (b"\xff\xd8\xff", contract.REFUSED_DAMAGED),
        (b"\xff\xd8\xff" + b"\xff" * 100_000, contract.REFUSED_DAMAGED),
        (b"\x89PNG\r\n\x1a\n", contract.REFUSED_DAMAGED),
        (b"GIF89a\x10\0\x10\0\0\0\0", contract.REFUSED_DAMAGED),
        (encode(Image.new("P", (16, 16)), "BMP"), contract.REFUSED_FORMAT),
        (encode(Image.new("RGB", (16, 16)), "TIFF"), contract.REFUSED_FORMAT),
        (
            encode(Image.new("RGB", (9, 9)), "WEBP", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")]),
            contract.REFUSED_FORMAT,
        ),
    ],
)
def test_what_is_no_photo_is_refused_with_a_code(decode, content, code):
    """Whatever is sent, the refusal tells a program which kind it is."""
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"refused: {code}: "):
        decode([content])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_a_photo_cut_off_anywhere_is_an_invalid_argument(decode, photo, kind):
    """Half a file never crashes the server and never passes for a photo."""
    whole = encode(Image.open(io.BytesIO(photo)), kind)
    for share in (0.001, 0.01, 0.5):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode([whole[: max(3, int(len(whole) * share))]])


def test_training_and_serving_see_the_same_pixels(decode, photo):
    """Run eagerly, as training does, the function gives what the graph gives."""
    eager = preprocess.decode(tf.constant(photo), SIZE).numpy()
    np.testing.assert_array_equal(eager, decode([photo])[0])
