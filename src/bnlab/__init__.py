"""bnlab: what does Batch Normalization really do, and how do you know?"""

import io
import sys

if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks "σ" shows "?", as stderr does of itself
    sys.stdout.reconfigure(errors="replace")
