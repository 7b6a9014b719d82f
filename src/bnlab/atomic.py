"""Files that after a crash are either the old ones or the whole new ones."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, on disk when this returns. Raises `OSError` with what was there left as it was."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or the new name may be lost with the power
    finally:
        os.close(folder)
