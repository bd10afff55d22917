"""The edge to the world: files, stores, networks, machines. It works without Prefect."""
