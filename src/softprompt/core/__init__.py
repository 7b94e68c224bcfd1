"""The words everybody speaks: errors, records, tensors, tasks, metrics, statistics. Imports only itself."""
