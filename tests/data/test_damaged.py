"""Files that are damaged, too large or something else than they are called: an error that names them, whoever reads."""

import struct
import subprocess
import sys
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from arn.cli import main
from arn.data.decoders import jpeg_warning, png_is_sound
from arn.data.images import read_map, read_mask, read_photo, read_picture
from arn.data.layout import Pair
from arn.data.maps import read_head
from arn.data.verify import verify
from arn.errors import ArnError
from arn.inference.render import read_note

READERS = (read_picture, read_photo, read_mask, read_map)


def flips(data, count, seed=0):
    """The data with one bit of it changed, at so many random places."""
    rng = np.random.default_rng(seed)
    for at, bit in zip(rng.integers(0, len(data), count), rng.integers(0, 8, count), strict=True):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        yield bytes(changed)


def test_a_flipped_bit_in_a_png_is_never_read(tmp_path, data_dir):
    """PNG has a checksum of everything but its first bytes; OpenCV asks for it and Pillow does not."""
    path = tmp_path / "mask.png"
    for mask in sorted((data_dir / "ECSSD" / "masks").glob("*.png"))[:3]:
        for changed in flips(mask.read_bytes(), 150):
            path.write_bytes(changed)
            for read in (read_mask, read_map):
                with pytest.raises(ArnError, match=r"mask\.png"):
                    read(path)


def test_a_flipped_bit_in_a_colour_png_is_never_read(tmp_path):
    rng = np.random.default_rng(0)
    data = cv2.imencode(".png", rng.integers(0, 256, (40, 50, 3), np.uint8))[1].tobytes()
    path = tmp_path / "picture.png"
    for changed in flips(data, 100):
        path.write_bytes(changed)
        with pytest.raises(ArnError, match=r"picture\.png"):
            read_picture(path)


def test_checksums_of_pngs_in_the_wild_are_right(data_dir):
    for folder in ("ECSSD/masks", "SOD/masks", "SOD/maps/DSS", "DUTS-TR/masks"):
        for path in sorted((data_dir / folder).glob("*.png"))[:50]:
            assert png_is_sound(path.read_bytes()), path


def test_verify_tells_of_what_libjpeg_remarks(tmp_path, data_dir, capfd):
    """Of the damage that can be seen: a JPEG has no checksum."""
    picture = sorted((data_dir / "ECSSD" / "images").glob("*.jpg"))[0]
    mask = data_dir / "ECSSD" / "masks" / f"{picture.stem}.png"
    whole = picture.read_bytes()
    assert jpeg_warning(picture, whole) is None
    hole = whole[:4000] + bytes(400) + whole[4400:]
    assert jpeg_warning(picture, hole)
    path = tmp_path / picture.name
    path.write_bytes(hole)
    report = verify([Pair(picture.stem, path, mask)])
    assert len(report.unreadable) == 1
    assert str(path) in report.unreadable[0]
    assert not verify([Pair(picture.stem, picture, mask)]).unreadable
    assert "JPEG" not in capfd.readouterr().err


def bombs():
    """Small files of 60,000 x 60,000 pixels, by suffix."""
    wide = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", wide), (b"IDAT", zlib.compress(bytes(10_000))), (b"IEND", b"")):
        png += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    yield ".png", png
    small = {}
    for suffix in (".jpg", ".bmp", ".gif", ".webp", ".tif"):
        file = BytesIO()
        Image.new("RGB", (64, 64)).save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix[1:], suffix[1:].upper()))
        small[suffix] = bytearray(file.getvalue())
    jpeg, bmp, gif, tif = (small[suffix] for suffix in (".jpg", ".bmp", ".gif", ".tif"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    yield ".jpg", bytes(jpeg)
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    yield ".bmp", bytes(bmp)
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    yield ".gif", bytes(gif)
    for tag in (256, 257):
        at = tif.index(struct.pack("<HHI", tag, 4, 1)) if struct.pack("<HHI", tag, 4, 1) in tif else None
        at = tif.index(struct.pack("<HHI", tag, 3, 1)) if at is None else at
        tif[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 60_000)
    yield ".tif", bytes(tif)
    yield ".ppm", b"P6 60000 60000 255\n" + bytes(100)
    yield ".pgm", b"P5 60000 60000 255\n" + bytes(100)


@pytest.mark.parametrize(("suffix", "data"), [pytest.param(*one, id=one[0]) for one in bombs()])
def test_a_bomb_of_any_format_is_too_large_for_every_reader(tmp_path, suffix, data):
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for read in READERS:
            with pytest.raises(ArnError, match=r"bomb\..* megapixels are the most that is read \(max_megapixels"):
                read(path)
        read_head(path)
        assert read_note(path) is None


def test_one_key_limits_pictures_of_all_formats(tmp_path):
    """In processes of their own, as the limit is the process's."""
    for suffix in (".png", ".jpg", ".bmp", ".webp"):
        cv2.imwrite(str(tmp_path / f"a{suffix}"), np.zeros((600, 1000, 3), np.uint8))
    code = (
        "import sys; from arn.data.decoders import limit_megapixels; from arn.data.images import read_picture\n"
        "from arn.errors import ArnError; from pathlib import Path\n"
        "limit_megapixels(float(sys.argv[1]))\n"
        "for path in sorted(Path(sys.argv[2]).iterdir()):\n"
        "    try: print(read_picture(path).shape)\n"
        "    except ArnError as error: print(error)\n"
    )
    for limit, told in (("0.6", "(600, 1000, 3)"), ("0.59", "0.59 megapixels are the most that is read")):
        command = [sys.executable, "-c", code, limit, str(tmp_path)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert len(lines) == 4
        assert all(told in line for line in lines), lines


def test_a_limit_that_makes_no_sense_is_refused(tmp_path, capsys):
    for value in ("0", "-1", "1001", "nan"):
        assert main(["predict", f"input={tmp_path}", f"max_megapixels={value}"]) == 2
        assert "max_megapixels" in capsys.readouterr().err


def test_no_file_chooses_a_decoder_that_starts_programs(tmp_path, monkeypatch):
    """PostScript under the name of a JPEG, and others of Pillow's formats that are no pictures' here."""

    def never(*_, **__):
        pytest.fail("a program was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    monkeypatch.setattr("os.system", never)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n10 10 scale\nshowpage\n%%EOF\n"
    icns = BytesIO()
    Image.new("RGB", (16, 16)).save(icns, "ICO")
    for number, data in enumerate((eps, icns.getvalue(), b"#define x_width 8\n#define x_height 1\n{0x00};")):
        for suffix in (".jpg", ".png", ".tif", ".gif", ".tga"):
            path = Path(tmp_path / f"{number}{suffix}")
            path.write_bytes(data)
            for read in READERS:
                with pytest.raises(ArnError, match=path.name):
                    read(path)
            read_head(path)
            assert read_note(path) is None
