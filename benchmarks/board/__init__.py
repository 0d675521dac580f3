"""One table of PA models and predistorters on every capture, scored again from committed weights (docs/board.md)."""
