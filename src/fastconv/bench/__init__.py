"""Measures fastconv's backends, and other libraries beside them, on the layers of networks.

Called by ``fastconv bench`` and by the suite in ``bench/``; needs the ``bench`` extra.
"""
