"""Has a model learned songs by heart? Its clips beside those that it learned from."""
