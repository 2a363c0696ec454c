"""A user's own data: tables, image folders, Hugging Face data sets, and new samples for a trained model."""
