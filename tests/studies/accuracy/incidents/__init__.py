"""Applications that go wrong as real ones do, by what is behind it."""
