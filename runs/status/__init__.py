"""How far a run is: said in its folder by the run, read there by whoever watches."""
