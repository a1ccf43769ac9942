"""Lets the tests in folders below import the documents made in code (``documents.py``)."""
