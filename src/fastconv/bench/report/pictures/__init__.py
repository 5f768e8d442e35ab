"""The pictures of a measurement; `gallery.py` lists them."""
