"""A small data set of every task, by what is added to a command line; the images' are those of ``tiny_data``."""

ROWS = {
    "classification": ("dataset=digits",),
    "regression": (
        "dataset=mean_estimation", "dataset.train_sizes=[40,30,20,5]", "dataset.test_size=20", "batch_size=19",
    ),
    "reconstruction": ("dataset=mnist_reconstruction", "batch_size=14"),
}  # fmt: skip
