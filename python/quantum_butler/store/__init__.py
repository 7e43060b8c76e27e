"""One datastore, local or on a server: the places of artifacts; reading, writing, removing, finding them."""

__all__ = ()
