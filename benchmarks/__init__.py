"""Benchmarks: the product beside the tool that people use today, side by side in one run.

Real parts end to end; not for finding out what is slow inside one of them, and not run by `make test` beyond
a small round that shows that they still work. See README.md.
"""
