"""Front doors that other people's clients already speak, translated to `Ask` and `Answer`."""
