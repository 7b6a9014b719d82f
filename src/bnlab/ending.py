"""How commands end: what stops one is told in one line."""

import os
import sys
from collections.abc import Callable

from bnlab.config import ConfigError

GOES_ON = "the same command goes on from here"


def end_in_one_line(command: Callable[[], object], interrupted: str = "") -> None:
    """Run a command. It exits with 1 and what was wrong, with 130 after Ctrl-C, and with 141 where nobody reads on."""
    try:
        command()
        sys.stdout.flush()
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print(f"interrupted: {interrupted}" if interrupted else "interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # as of `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python, as it ends, meets it again
        sys.exit(141)
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
