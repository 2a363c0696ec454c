"""What a trained model is worth: scores, predictions, and its export."""
