"""The work of the server, between the protocols above and the ports below. No HTTP here."""
