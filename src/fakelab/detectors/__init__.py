"""One recipe per question: media + faces + a model -> a Finding."""
