"""Several processes of one program: their counts add up."""
