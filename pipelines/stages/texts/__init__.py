"""Steps that write and choose texts."""
