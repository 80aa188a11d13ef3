"""The page `http://vras.internal/`, by which the control base talks to the PC's user."""
