"""Whether what a program counts arrives in every store, under the documented names.

``make -C tests/studies arrival`` prints the table metric x way; tests hold it, the spans, the
exemplars.
"""
