"""What a window shows, for editors that are made with Qt (PyQt5 or PyQt6). Nothing is imported here.

binding    the one place that imports Qt
eventloop  Qt's side of the shared `Pump`
body       all of it as one widget: what an editor puts into its window
icons      the signs on small buttons, which may be the editor's own
pages, choosing, gallery, branches, framing, live, map_list, section, forms, widgets, pictures: what it is made of
"""
