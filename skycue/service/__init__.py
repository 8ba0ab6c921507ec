"""What the server keeps and does, without HTTP: state, files, uploads, jobs, batches."""
