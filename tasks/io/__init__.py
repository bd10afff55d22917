"""The edge to the world: files, stores, networks, machines. Works without Prefect."""
