"""What people and operators do with one bot, which all these tests share. They may stop and kill its processes, and
reconfigure nothing.
"""
