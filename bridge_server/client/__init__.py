"""The shared plug-in side: standard library only, Python 3.8 to 3.14.  Nothing is imported here.

messages   what stands on the wire, one frozen dataclass each
zmtp       a ZMTP 3 DEALER on one TCP socket
launch     where the files of this user lie, and how the bridge is started
session    the object a plug-in holds: submit, poll, cancel
events     what ``Session.poll`` returns
editor     what the plug-ins of all editors share: flow, areas, wording
"""
