"""Benchmarks for pytest-benchmark: ``pip install ".[bench]" && pytest bench``; `conftest.py` says how they are run."""
