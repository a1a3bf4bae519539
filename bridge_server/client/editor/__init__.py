"""What every editor's plug-in shares: knows neither an editor nor a widget set. Nothing is imported here.

flow       one RePaint from click to layer as a state machine; says what it asks of the editor's side
model      plain data: settings, targets, captures, runs, variants
frame      the frame to drag when a canvas is to be extended
areas      which pixels are sent and which are repainted: selection, extended canvas, tile
choices    what the artist has chosen, kept between sessions
history    finished pictures of earlier sessions, found again
schedule   the walk through the noise levels, to be drawn
memory     what a run will take of the machine's memory
identity   this user's name at the bridge, and the plug-in's log
texts      short texts made of numbers
pump       runs the flow on an event loop, keeps exceptions from the editor; probe: how long that took
words      the artist's language, with the tables in german and french
"""
