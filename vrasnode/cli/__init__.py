"""The commands of `vrasnode`, one module each; `main` reads the command line and runs them."""
