"""The demonstration: a small network that hosts a real model, seen by someone who is new here."""
