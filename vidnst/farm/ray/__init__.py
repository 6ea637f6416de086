"""Workers in Ray actors. Only here Ray is imported, and only when it is used."""
