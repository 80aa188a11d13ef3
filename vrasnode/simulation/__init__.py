"""PCs that are programs: devices, machines and timings of their own, the agent and the server real.

For trials without hardware and for hundreds of PCs at once. What is simulated is only the world around the
agent (`vrasnode.world`): it enrols, signs, fetches, assembles and reports as on a real PC. Nothing here
proves anything about machines or devices, and every screen that shows such a PC says that it is simulated.
"""
