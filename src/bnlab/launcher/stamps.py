"""Imported by the server that workers are forked from, so that they stamp runs with the code that it has loaded.

Else a worker that takes a dead one's place would read what lies on disk by then, which may have been edited since.
"""

from bnlab import provenance

provenance.code()
provenance.commit()
