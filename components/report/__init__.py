"""What people read: figures, charts, the page, tables, a summary."""
