"""An offline AI platform that speaks the real protocols, with two incidents planted in it."""
