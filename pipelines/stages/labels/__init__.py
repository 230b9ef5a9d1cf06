"""Steps that label clips and vary them."""
