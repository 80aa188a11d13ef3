"""`python -m vrasctl`."""

from vrasctl import main

main()
