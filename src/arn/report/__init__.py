"""What people look at: tables, figures and the page, made from plain data."""
