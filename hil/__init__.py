"""Hardware in the loop: emulated modems, the rig and black-box tests. Imports nothing of the product."""
