"""Whether what a program counts arrives in every store, under the documented names.

``make -C tests/studies arrival`` prints the table metric x way; ``tests/e2e/test_arrival.py`` holds
it for one protocol, with the spans and the exemplars.
"""
