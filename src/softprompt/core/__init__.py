"""The words everybody speaks: errors, records, tensors, tasks, metrics, statistics. Imports nothing of softprompt but itself."""
