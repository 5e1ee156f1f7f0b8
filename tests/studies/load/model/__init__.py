"""Random lives of pools over the real libraries, beside a model of what has to be reported."""
