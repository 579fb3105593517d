"""How the weights are made: real faces -> pairs with forgeries -> a tuned network -> what ships. Extra `train`."""
