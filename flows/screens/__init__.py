"""What a reader sees: terminal, pages, cards."""
