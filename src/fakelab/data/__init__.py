"""Data sets -> manifest -> crops: what training and evaluation read. Needs no network of its own."""
