"""From an encoded photo to the pixels a network sees: written once, as TensorFlow operations.

Training, evaluation and the exported graph all call these functions, so that a served photo is
seen as the training photos were. The steps:

1. The header tells format and size. Unknown formats and photos of too many pixels are refused
   here, before anything is decoded: TensorFlow's decoders themselves have no limit.
2. The photo is decoded at 1, ½, ¼ or ⅛ of its size, the smallest that still covers the network's
   input; JPEG does so inside the decoder, where most of the time would go.
3. It is resized (bilinear): to the network's input, whatever its proportions; or so that it fits
   into it, and padded evenly with grey, which is zero to the network. EXIF orientation is not applied.

This is the one module of the kernel that imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from scenery import contract

Tensor = Any
"""A ``tf.Tensor``; TensorFlow ships no types that mypy could check."""

GREY = 127
"""The padding, in pixel values: :func:`scale` maps it next to zero."""

REDUCTIONS = (1, 2, 4, 8)
"""The factors by which libjpeg can shrink a photo while decoding it."""

_HEADER_BYTES = 32
_MAX_SEGMENTS = 4096
_MAX_GIF_BLOCKS = 16384
_PARALLEL_PHOTOS = 4


def decode_batch(
    images: Tensor,
    size: tuple[int, int],
    max_pixels: int = contract.MAX_PIXELS,
    pad_to_aspect_ratio: bool = True,
) -> Tensor:
    """Decode encoded photos: string [n] → uint8 [n, height, width, 3], RGB.

    At most four are decoded at a time, which bounds the memory a batch can take. Raises what
    :func:`decode` raises.
    """
    height, width = size
    return tf.map_fn(
        lambda image: decode(image, size, max_pixels, pad_to_aspect_ratio),
        images,
        parallel_iterations=_PARALLEL_PHOTOS,
        fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8),
    )


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def decode(
    image: Tensor,
    size: tuple[int, int],
    max_pixels: int = contract.MAX_PIXELS,
    pad_to_aspect_ratio: bool = True,
) -> Tensor:
    """Decode one encoded photo and fit it into ``size``.

    Parameters
    ----------
    image
        string [], a JPEG, PNG, WebP, BMP or GIF (its first frame).
    size
        Height and width of the result, in pixels.
    max_pixels
        Photos of more pixels are refused from their header.
    pad_to_aspect_ratio
        Whether the photo keeps its proportions and is padded, or is stretched to ``size``.

    Returns
    -------
    uint8 [height, width, 3], RGB.

    Raises
    ------
    tf.errors.InvalidArgumentError
        ``refused: CODE: sentence`` with a code of :data:`scenery.contract.REFUSALS`, or a
        decoder's own message where the header was sound and the rest is not.
    """
    header = _bytes_at(image, 0, _HEADER_BYTES)
    frame = _Frame(*size, pad_to_aspect_ratio)

    def refuse_format() -> Tensor:
        empty = tf.equal(tf.strings.length(image), 0)
        code = tf.where(empty, contract.REFUSED_EMPTY, contract.REFUSED_FORMAT)
        sentence = tf.where(
            empty,
            "the photo has no bytes; send the encoded file itself",
            "the bytes are no JPEG, PNG, WebP, BMP or GIF; convert the photo to one of these",
        )
        with tf.control_dependencies([_refusal(tf.constant(False), code, sentence)]):
            return tf.zeros([*size, 3], tf.uint8)

    def decode_format(read: _Reader) -> Callable[[], Tensor]:
        return lambda: read(image, header, frame, max_pixels)

    branches = [refuse_format, *map(decode_format, (_jpeg, _png, _webp, _bmp, _gif))]
    pixels = tf.switch_case(_sniff(header), branches)
    return tf.ensure_shape(pixels, [*size, 3])


def scale(pixels: Tensor) -> Tensor:
    """Scale uint8 pixels to float32 in [-1, 1], what MobileNetV2's ImageNet weights were trained on."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


class _Frame(NamedTuple):
    """What a photo is fitted into: pixels, and whether it is padded or stretched."""

    height: int
    width: int
    padded: bool


_Reader = Callable[[Tensor, Tensor, _Frame, int], Tensor]


def _sniff(header: Tensor) -> Tensor:
    """Tell the format from its first bytes: 0 unknown, else the place of its reader in :func:`decode`."""
    signatures = (
        ((0, b"\xff\xd8\xff"),),
        ((0, b"\x89PNG\r\n\x1a\n"),),
        ((0, b"RIFF"), (8, b"WEBP")),
        ((0, b"BM"),),
        ((0, b"GIF8"),),
    )
    matches = [tf.reduce_all([_starts(header, at, text) for at, text in parts]) for parts in signatures]
    return tf.reduce_sum([tf.cast(match, tf.int32) * (place + 1) for place, match in enumerate(matches)])


def _starts(header: Tensor, at: int, text: bytes) -> Tensor:
    return tf.reduce_all(tf.equal(header[at : at + len(text)], list(text)))


def _jpeg(image: Tensor, _: Tensor, frame: _Frame, max_pixels: int) -> Tensor:
    height, width = _jpeg_size(image)
    scans = tf.size(tf.strings.split([image], b"\xff\xda").values) - 1
    advice = "the JPEG has too many scans; save it again, as an ordinary one"
    with tf.control_dependencies([_refusal(scans <= contract.MAX_JPEG_SCANS, contract.REFUSED_FORMAT, advice)]):
        photo = _checked(image, height, width, max_pixels)
    readers = [lambda ratio=ratio: tf.io.decode_jpeg(photo, channels=3, ratio=ratio) for ratio in REDUCTIONS]
    return _fit(tf.switch_case(_reduction(height, width, frame), readers), height, width, frame)


def _png(image: Tensor, header: Tensor, frame: _Frame, max_pixels: int) -> Tensor:
    height, width = _big_endian(header[20:24]), _big_endian(header[16:20])
    photo = _checked(image, height, width, max_pixels)
    return _reduce_and_fit(tf.io.decode_png(photo, channels=3), frame)


def _webp(image: Tensor, header: Tensor, frame: _Frame, max_pixels: int) -> Tensor:
    height, width = _webp_size(header)
    animated = tf.logical_and(_starts(header, 12, b"VP8X"), (header[20] & 0x02) > 0)
    advice = "the WebP is an animation; send one of its frames as a still"
    with tf.control_dependencies([_refusal(tf.logical_not(animated), contract.REFUSED_FORMAT, advice)]):
        photo = _checked(image, height, width, max_pixels)
    pixels = tf.io.decode_image(photo, channels=3, expand_animations=False)
    return _reduce_and_fit(tf.ensure_shape(pixels, [None, None, 3]), frame)


def _bmp(image: Tensor, header: Tensor, frame: _Frame, max_pixels: int) -> Tensor:
    width, height = _little_endian(header[18:22]), tf.abs(_little_endian(header[22:26]))
    deep = _little_endian(header[28:30]) >= 24
    advice = "the BMP has fewer than 24 bits a pixel; save it with 24, or as PNG"
    with tf.control_dependencies([_refusal(deep, contract.REFUSED_FORMAT, advice)]):
        photo = _checked(image, height, width, max_pixels)
    return _reduce_and_fit(tf.io.decode_bmp(photo)[:, :, :3], frame)


def _gif(image: Tensor, header: Tensor, frame: _Frame, max_pixels: int) -> Tensor:
    width, height = _little_endian(header[6:8]), _little_endian(header[8:10])
    photo = _checked(image, height, width, max_pixels)
    return _reduce_and_fit(tf.io.decode_gif(_first_gif_frame(photo, max_pixels))[0], frame)


def _checked(image: Tensor, height: Tensor, width: Tensor, max_pixels: int) -> Tensor:
    """Return ``image``, but only after its size was found to be sound; what decodes must depend on it."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    damaged = "the header gives no size; the file is cut off or damaged"
    extents = ["the photo has ", tf.as_string(width), " x ", tf.as_string(height)]
    too_many = tf.strings.join([*extents, f" pixels and at most {max_pixels} are read; send it smaller"])
    sound = tf.logical_and(height > 0, width > 0)
    with tf.control_dependencies([_refusal(sound, contract.REFUSED_DAMAGED, damaged)]):
        small = tf.less_equal(pixels, max_pixels)
    with tf.control_dependencies([_refusal(small, contract.REFUSED_PIXELS, too_many)]):
        return tf.identity(image)


def _refusal(condition: Tensor, code: Tensor, sentence: Tensor) -> Any:
    """Assert ``condition``; returns an operation to depend on (None where it runs at once)."""
    message = tf.strings.join([contract.REFUSED, ": ", code, ": ", sentence])
    operation = tf.debugging.Assert(condition, [message])
    return tf.no_op() if operation is None else operation


def _jpeg_size(image: Tensor) -> tuple[Tensor, Tensor]:
    """Walk a JPEG's segments to its frame header (SOFn), as libjpeg does; 0, 0 if there is none.

    Source: ITU-T T.81, annex B.
    """
    last = tf.strings.length(image) - 9

    def unfinished(at: Tensor, found: Tensor, *_: Tensor) -> Tensor:
        return tf.logical_and(tf.logical_not(found), at <= last)

    def step(at: Tensor, _found: Tensor, _height: Tensor, _width: Tensor) -> tuple[Tensor, ...]:
        part = _bytes_at(image, at, 9)
        marker = part[1]
        at_marker = tf.logical_and(tf.equal(part[0], 0xFF), tf.not_equal(marker, 0xFF))
        alone = tf.logical_or(marker <= 0x01, tf.logical_and(marker >= 0xD0, marker <= 0xD8))
        frame = tf.logical_and(marker >= 0xC0, marker <= 0xCF)
        frame = tf.logical_and(frame, tf.reduce_all(tf.not_equal(marker, [0xC4, 0xC8, 0xCC])))
        frame = tf.logical_and(frame, at_marker)
        ends = tf.logical_and(at_marker, tf.logical_or(tf.equal(marker, 0xD9), tf.equal(marker, 0xDA)))
        length = tf.where(alone, 2, 2 + tf.maximum(_big_endian(part[2:4]), 2))
        size_if_found = tf.where(frame, _big_endian(part[5:7]), 0), tf.where(frame, _big_endian(part[7:9]), 0)
        return at + tf.where(at_marker, length, 1), tf.logical_or(frame, ends), *size_if_found

    start = (tf.constant(2), tf.constant(False), tf.constant(0), tf.constant(0))
    _, _, height, width = tf.while_loop(unfinished, step, start, maximum_iterations=_MAX_SEGMENTS)
    return height, width


def _webp_size(header: Tensor) -> tuple[Tensor, Tensor]:
    """Read the canvas of a WebP's first chunk. Source: RFC 9649, sections 2.5 to 2.7."""
    lossless_bits = _little_endian(header[21:25])
    extended = 1 + _little_endian(header[27:30]), 1 + _little_endian(header[24:27])
    lossy = _little_endian(header[28:30]) & 0x3FFF, _little_endian(header[26:28]) & 0x3FFF
    lossless = 1 + (tf.bitwise.right_shift(lossless_bits, 14) & 0x3FFF), 1 + (lossless_bits & 0x3FFF)
    zero = tf.constant(0)
    height, width = (
        tf.where(
            _starts(header, 12, b"VP8 "),
            a,
            tf.where(_starts(header, 12, b"VP8L"), b, tf.where(_starts(header, 12, b"VP8X"), c, zero)),
        )
        for a, b, c in zip(lossy, lossless, extended, strict=True)
    )
    return height, width


def _first_gif_frame(image: Tensor, max_pixels: int) -> Tensor:
    """Cut a GIF behind its first frame: the decoder would unpack every frame before taking one.

    A frame has a size of its own, which is held to the same limit. Source: GIF89a specification.
    """
    length = tf.strings.length(image)

    def table_bytes(flags: Tensor) -> Tensor:
        """Bytes of the colour table that ``flags`` announce."""
        size = tf.bitwise.left_shift(3, 1 + (flags & 7))
        return tf.where(flags >= 128, size, 0)

    def unfinished(at: Tensor, _in_blocks: Tensor, _in_frame: Tensor, done: Tensor, *_: Tensor) -> Tensor:
        return tf.logical_and(tf.logical_not(done), at < length)

    def step(
        at: Tensor, in_blocks: Tensor, in_frame: Tensor, _done: Tensor, height: Tensor, width: Tensor
    ) -> tuple[Tensor, ...]:
        part = _bytes_at(image, at, 10)
        size = part[0]
        ended = tf.logical_and(in_blocks, tf.equal(size, 0))
        outside = tf.logical_not(in_blocks)
        is_frame = tf.logical_and(outside, tf.equal(size, 0x2C))
        is_extension = tf.logical_and(outside, tf.equal(size, 0x21))
        is_other = tf.logical_and(outside, tf.logical_not(tf.logical_or(is_frame, is_extension)))
        frame_bytes = 11 + table_bytes(part[9])
        advance = tf.where(in_blocks, size + 1, tf.where(is_frame, frame_bytes, tf.where(is_extension, 2, 1)))
        blocks_follow = tf.logical_or(tf.logical_or(is_frame, is_extension), tf.logical_and(in_blocks, size > 0))
        done = tf.logical_or(tf.logical_and(ended, in_frame), is_other)
        height = tf.where(is_frame, _little_endian(part[7:9]), height)
        width = tf.where(is_frame, _little_endian(part[5:7]), width)
        return at + advance, blocks_follow, tf.logical_or(in_frame, is_frame), done, height, width

    screen = _bytes_at(image, 0, 13)
    no = tf.constant(False)
    start = (13 + table_bytes(screen[10]), no, no, no, tf.constant(0), tf.constant(0))
    end, _, in_frame, done, height, width = tf.while_loop(unfinished, step, start, maximum_iterations=_MAX_GIF_BLOCKS)
    complete = tf.logical_and(tf.logical_and(in_frame, done), end <= length)
    damaged = "the first frame of the GIF is cut off, damaged or of too many blocks"
    with tf.control_dependencies([_refusal(complete, contract.REFUSED_DAMAGED, damaged)]):
        photo = _checked(image, height, width, max_pixels)
    return tf.strings.join([tf.strings.substr(photo, 0, end), b"\x3b"])


def _reduction(height: Tensor, width: Tensor, frame: _Frame) -> Tensor:
    """Tell the place in :data:`REDUCTIONS` of the largest factor that still covers what is left of the photo."""
    choose = tf.maximum if frame.padded else tf.minimum
    excess = choose(height / frame.height, width / frame.width)
    return tf.reduce_sum([tf.cast(excess >= factor, tf.int32) for factor in REDUCTIONS[1:]])


def _reduce_and_fit(pixels: Tensor, frame: _Frame) -> Tensor:
    """Shrink by a factor of :data:`REDUCTIONS` by averaging, as a JPEG's decoder does, then fit."""
    shape = tf.shape(pixels)
    height, width = shape[0], shape[1]
    factor = tf.gather(REDUCTIONS, _reduction(height, width, frame))

    def reduce() -> Tensor:
        smaller = [-(-height // factor), -(-width // factor)]
        return tf.image.resize(pixels, smaller, method="area")

    pixels = tf.cond(factor > 1, reduce, lambda: tf.cast(pixels, tf.float32))
    return _fit(pixels, height, width, frame)


def _fit(pixels: Tensor, height: Tensor, width: Tensor, frame: _Frame) -> Tensor:
    """Resize a photo of ``height`` × ``width`` to the frame; or so that it fits, and pad evenly with grey."""
    if not frame.padded:
        return tf.cast(tf.round(tf.image.resize(pixels, [frame.height, frame.width])), tf.uint8)
    ratio = tf.minimum(frame.height / height, frame.width / width)
    limits = (frame.height, frame.width)
    fitted = [
        tf.clip_by_value(tf.cast(tf.round(tf.cast(extent, ratio.dtype) * ratio), tf.int32), 1, limit)
        for extent, limit in zip((height, width), limits, strict=True)
    ]
    resized = tf.cast(tf.round(tf.image.resize(pixels, fitted)), tf.uint8)
    before = [(limit - extent) // 2 for extent, limit in zip(fitted, limits, strict=True)]
    after = [limit - extent - first for extent, limit, first in zip(fitted, limits, before, strict=True)]
    paddings = [[before[0], after[0]], [before[1], after[1]], [0, 0]]
    return tf.pad(resized, paddings, constant_values=tf.constant(GREY, tf.uint8))


def _bytes_at(image: Tensor, at: Tensor | int, count: int) -> Tensor:
    """Read ``count`` bytes as int32 [count]; bytes behind the end read as zero."""
    part = tf.strings.substr(image, at, count)
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int32)


def _big_endian(part: Tensor) -> Tensor:
    return _little_endian(tf.reverse(part, [0]))


def _little_endian(part: Tensor) -> Tensor:
    return tf.reduce_sum(tf.bitwise.left_shift(part, [8 * place for place in range(part.shape[0])]))
