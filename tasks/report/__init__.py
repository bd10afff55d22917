"""What people read: the report page, its figures and tables, and the choice of alpha."""
