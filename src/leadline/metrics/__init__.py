"""Numbers of representations, of gradients, and of models. A representation is ``(n, d)``: rows are samples."""
