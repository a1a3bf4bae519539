"""Workers on another machine, the box: its side (``serve``), this side (``relay``), and the CURVE road between them."""
