"""What starting from the weights of another run gains."""
