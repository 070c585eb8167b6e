"""What `tests/bench.py` sets against each other, each in a process of its own."""
