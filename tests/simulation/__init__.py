"""A deterministic simulation that proves replication: many nodes, each with the real
core.replication.replica.Replica, in one seeded world of faults.

    world.py       virtual time, and one run from the first write to the last check      plan.py
        what a seed makes of a run
    node.py        a daemon: performs the core's actions with a slow and failing store   faults.py
        what goes wrong, and how it heals
    disk.py        what survives a crash of it                                            writes.py
        what clients ask for
    network.py     loses, doubles, delays and cuts                                        oracle.py
        what must hold all the time, and in the end
    mutants.py     faults put into the code, which the oracle must find
        scenarios.py   runs worth keeping, by name
    liar.py        a hostile peer among them

The same seed gives the same run, whatever the machine: nothing here asks for the time, and no set
of strings is iterated over.
"""
