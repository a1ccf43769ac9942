"""The benchmark server: accepts runs over sockets and executes them in one worker process per device."""
