"""The Kubeflow engine: the loop as a KFP pipeline, compiled, uploaded and started."""
