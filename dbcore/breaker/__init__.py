"""The breaker of the fleet: one for all processes, kept in Redis. docs/adr/0004-fleet-breaker.md says why so.

What has an engine takes `dbcore.breaker.sync`, which is not imported here: the frontend needs no SQLAlchemy to look.
"""

from dbcore.breaker.state import StateUnreadable
from dbcore.breaker.store import Event, FleetStore
from dbcore.breaker.view import CachedStateReader, FleetView, read_breaker

__all__ = ["CachedStateReader", "Event", "FleetStore", "FleetView", "StateUnreadable", "read_breaker"]
