"""A perceptron that tells praise from blame."""
