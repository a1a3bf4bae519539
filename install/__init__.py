"""What installer.py does, in parts: the environment, the editors' plug-ins, doctor. Standard library only."""
