"""Measures fastconv's backends, and other libraries beside them, on the layers of networks.

Called by ``fastconv bench`` and by the suite in ``bench/``; needs the ``bench`` extra. Its rooms, lowest first; each
uses only those before it, and `oracle` and `runners` do not know each other:

- `layers`: what is measured, as shapes and options;
- `oracle`: what is right, from the definitions in float64;
- `runners`: who is measured, fastconv's backends and its peers;
- `measure`: the timer, the session, and the results with their file;
- `report`: summaries, tables, pictures and the page in HTML;
- `commands`: ``fastconv bench``.
"""
