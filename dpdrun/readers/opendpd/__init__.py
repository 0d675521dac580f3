"""An OpenDPD command line as a recipe of ours."""
