"""Licences made elsewhere: what is asked of the owners' own servers and modules, and what their answers say.

Their devices trust only the owners' roots, so nothing here proves a challenge: whoever makes the licence does. What a
challenge shows in clear is good for a first look, and is proven once there is a licence for it.
"""
