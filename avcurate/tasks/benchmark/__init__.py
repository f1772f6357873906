"""``benchmark hallucination``: clips with evidence in, questions and counterfactual clips out."""
