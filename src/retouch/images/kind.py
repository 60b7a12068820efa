"""What kind of picture some bytes are. Without Pillow, so that the web process can ask too."""

BEGINNINGS = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)

FOREIGN = (
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
)
PAGES = (b"<!doctype html", b"<html")
LOOKED_AT = 512  # bytes that a text or a list of brands is searched in


def kind_of(data: bytes) -> str | None:
    """`jpeg`, `png`, `gif` or `webp` by the first bytes; None for anything else."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":  # a length stands between
        return "webp"
    return next((kind for beginning, kind in BEGINNINGS if data.startswith(beginning)), None)


def foreign_kind(data: bytes) -> str:
    """What callers often send instead of a picture of ours, as they call it; nothing if unknown."""
    start = data[:LOOKED_AT]
    if start[4:8] == b"ftyp":  # the box every picture begins with that is stored like a film
        return _film_kind(start[8 : int.from_bytes(start[:4])])
    text = start.lstrip().lower()
    if text.startswith(PAGES):
        return "a web page"
    if b"<svg" in text:
        return "SVG"
    return next((kind for beginning, kind in FOREIGN if data.startswith(beginning)), "")


def _film_kind(brands: bytes) -> str:
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIC" if b"hei" in brands or b"hev" in brands or b"mif1" in brands else "a film"
