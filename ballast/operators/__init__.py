"""Who may do what, and what operators read and download."""
