"""The breaker of the fleet: one for all processes, kept in Redis. docs/adr/0004-fleet-breaker.md says why so.

What has an engine takes `dbcore.fleet.link`, which is not imported here: the frontend needs no SQLAlchemy to look.
"""

from dbcore.fleet.state import StateUnreadable
from dbcore.fleet.store import Event, FleetStore
from dbcore.fleet.view import FleetView, Onlooker, read

__all__ = ["Event", "FleetStore", "FleetView", "Onlooker", "StateUnreadable", "read"]
