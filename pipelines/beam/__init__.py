"""The only folder that imports apache_beam: it runs stages over buckets."""
