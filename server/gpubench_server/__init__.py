"""The service: sockets in front, one worker process for each device behind."""
