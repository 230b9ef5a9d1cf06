"""What processes of a test have written, and whether a word is in it."""

from pathlib import Path


def written_below(*folders: Path) -> dict[str, bytes]:
    """The bytes of every file below some folders, by its path."""
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    return {str(file): file.read_bytes() for file in files}


def telling(written: dict[str, bytes], *words: str) -> list[str]:
    """Names of what holds one of some words."""
    return sorted(
        name for name, content in written.items() if any(word.encode() in content for word in words)
    )
