"""Study: what a sweep costs next to a shell loop over the same runs."""
