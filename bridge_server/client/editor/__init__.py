"""What every editor's plug-in shares: knows neither an editor nor a widget set. Nothing is imported here.

host       what an editor offers: `Host` and `Layer`
model      plain data: settings, targets, captures, runs, variants

flow       what the artist can do, from click to layer; on top of
machine    what becomes of a run by itself: the events, the end
library    the runs and their pictures, in memory and on disk; history: those of earlier sessions
layers     which picture stands in which layer; painting: how it gets there
areas      which pixels are sent and which are repainted: selection, extended canvas, tile; samples: pixels of every
           depth as bytes; material: where what is painted comes from; apart: far-apart places of a selection; maps:
           layers that are painted along; reading: what is the same in every `Host.capture`

fields     every field of a window: name, default, range, unit, label, tip
labels     every button and tip that is no field; sentences: all that is said besides
choices    what the artist has chosen, kept between sessions
figures    how well a variant joins; choosing: the grid's order, search, favourites, what stands side by side;
           split: the same in the layer
live       fills each selection as soon as it is finished; script: a run without a window, for scripts
panel      what a window's buttons do, without widgets
view       what a window shows, to be drawn; sections: parts of it that are alike everywhere, piece by piece
setup      the engine is set up; removal: and removed; tour: the first fill is shown
box        another machine paints for this one
download   models that are not installed; frame: the frame to drag; schedule: the walk through the noise levels;
           memory: what a run will take; texts: short texts made of numbers
words      the artist's language, from the files in `languages`

pump       runs the flow on an event loop, keeps exceptions from the editor; probe: how long that took
identity   this user's name at the bridge, and the plug-in's log
"""
