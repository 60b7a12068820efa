"""What kind of picture some bytes are. Without Pillow, so that the web process can ask too."""

BEGINNINGS = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


def kind_of(data: bytes) -> str | None:
    """`jpeg`, `png`, `gif` or `webp` by the first bytes; None for anything else."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":  # a length stands between
        return "webp"
    return next((kind for beginning, kind in BEGINNINGS if data.startswith(beginning)), None)
