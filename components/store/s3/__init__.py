"""s3://: a bucket as an object store, through the MinIO client."""
