"""What a stranger's build may name and hold."""
