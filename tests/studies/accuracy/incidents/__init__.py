"""Applications that go wrong as real ones do, grouped by cause."""
