"""What a window shows, for editors that are made with GTK 3. Nothing is imported here.

eventloop  GLib's side of the shared `Pump`; needs no display, unlike all the rest
body       all of it as one widget: what an editor puts into its window
pages, choosing, gallery, branches, framing, live, map_list, section, forms, widgets, pictures: what it is made of
"""
