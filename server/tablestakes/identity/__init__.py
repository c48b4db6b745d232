"""Identity: finding out who calls, by a token, a key or a certificate."""
