"""The verbs of Obbligato: one stage per file, pure functions on records."""
