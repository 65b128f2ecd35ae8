"""A module that suspends while it is imported."""

from pickletask import schedule_remove

value = schedule_remove("imported")
