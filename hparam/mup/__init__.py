"""The maximal update parameterization: hyperparameters that fit every width."""
