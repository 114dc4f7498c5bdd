"""The lab: real Debian hosts, as systemd-nspawn containers, on this machine.

made = lab.up("rehearsal", hosts=5)
lab.break_("app-1", lab.Fault.FREEZE, name="rehearsal")
lab.status("rehearsal").hosts
lab.mend("app-1", name="rehearsal")
lab.down("rehearsal")
"""

from fleet.lab.faults import break_, mend
from fleet.lab.lifecycle import down, up
from fleet.lab.model import Fault, Host, Lab, Limits
from fleet.lab.observe import HostStatus, LabStatus, status

__all__ = ["Fault", "Host", "HostStatus", "Lab", "LabStatus", "Limits", "break_", "down", "mend", "status", "up"]
