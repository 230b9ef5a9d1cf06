"""Our samples in the form that other people's trainers read: audio in segments, facts as fields."""
