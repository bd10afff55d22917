"""Looking after a workspace: what is done, damaged, refused or not needed; weights pulled.

A configuration, or the ledger of its workspace, goes in. What comes out is what the commands
``status``, ``verify``, ``retry``, ``gc``, ``forget`` and ``weights pull`` tell; a second function
then changes the workspace.
"""
