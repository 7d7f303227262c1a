"""Images are upright as their EXIF block says, and as no other block does."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from jssl.data.reading import decoding
from jssl.data.reading.decoding import decode
from tests.data.reading.pictures import encoded, picture

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize('fast', [True, False])
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_an_orientation_in_xmp_turns_nothing_as_in_opencv(
    form: str, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, object] = {'xmp': XMP}
    if form == 'PNG':
        text = PngInfo()
        text.add_itxt('XML:com.adobe.xmp', XMP.decode())
        options = {'pnginfo': text}
    if form == 'TIFF':
        options = {'tiffinfo': {700: XMP}}
    if not fast:
        monkeypatch.setattr(decoding, '_simplejpeg', lambda: None)
    data = encoded(picture(), form, **options)
    assert Image.open(io.BytesIO(data)).getexif().get(decoding.ORIENTATION) == 6
    assert tuple(decode(data, 32).size) == (12, 20)


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize('form', ['PNG', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('orientation', [0, 1, *TURNS, 9])
def test_images_are_turned_upright_as_exif_says(form: str, orientation: int) -> None:
    image, exif = picture(), Image.Exif()
    exif[0x0112] = orientation
    options = {'lossless': True} if form == 'WEBP' else {}
    pixels, size = decode(encoded(image, form, exif=exif, **options), 32)
    expected = TURNS.get(orientation, np.asarray)(np.asarray(image))
    assert tuple(size) == expected.shape[:2]
    np.testing.assert_array_equal(pixels[: size[0], : size[1]], expected)


def test_a_jpeg_that_is_shrunk_is_turned_too() -> None:
    image, exif = picture(size=(200, 100)), Image.Exif()
    exif[0x0112] = 8
    pixels, size = decode(encoded(image, 'JPEG', exif=exif), 40)
    assert tuple(size) == (40, 20)
    assert pixels[0, 10].mean() > pixels[39, 10].mean() + 100  # the bright right end is on top


@pytest.mark.filterwarnings('ignore:Corrupt EXIF data')
@pytest.mark.parametrize('block', [b'MM\0*\xff\xff\xff\xff\xff', b'no TIFF header', b''])
def test_a_damaged_exif_block_does_not_matter(block: bytes) -> None:
    image = picture()
    data = encoded(image, exif=b'Exif\0\0' + block)
    np.testing.assert_array_equal(decode(data, 32)[0][:12, :20], np.asarray(image))
