"""What the server does, between the protocols above and the ports below. No HTTP here."""
