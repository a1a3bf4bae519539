"""RePaint for GIMP 3: repaints the selection through the RePaint bridge.

Only the standard library, GIMP's own modules (gi.repository) and `bridge_server.client` (which the installer puts into
`_lib`) may be imported here: the interpreter is GIMP's own.

repaint_gimp   the file that GIMP starts
plugin         what stands in GIMP's procedure database and in its menus
script         a run without a window, to the end, for scripts
service        the process that lives as long as GIMP: the controller, the bridge's session, the window
host, layer    GIMP's images as the shared `Flow` wants them; lookup, pixels: found again by id, read and written
sentences      what only GIMP has to say
window         what the artist sees; saving: what it does when an image was saved. Imported only when it is first shown:
               a console has no display
"""
