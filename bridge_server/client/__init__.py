"""The shared plug-in side: standard library only, Python 3.8 to 3.14. Nothing is imported here.

messages   what stands on the wire, one frozen dataclass each
checks     what a value may be; records: what several messages carry; codec: messages as frames
zmtp       a ZMTP 3 DEALER on one TCP socket
launch     where the files of this user lie, and how the bridge is started
session    the object a plug-in holds: submit, poll, cancel; requests, jobs, pieces and waiting are its parts
events     what ``Session.poll`` returns
editor     what the plug-ins of all editors share: flow, areas, wording
qt, gtk    what a window shows, for editors that are made with Qt or GTK 3
setup      setting the engine up from inside an editor
"""
