"""A step's face towards Kubeflow Pipelines: the form it reads, what it hands to the UI. No kfp is imported in a pod."""
