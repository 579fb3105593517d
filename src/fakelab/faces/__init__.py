"""Frames -> crops per person: `find` boxes, `crop` them, `scan` a stream, `track` people by `likeness`."""
